// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/transformer.h"

#include "sara/base/message.h"
#include "sara/layers/register_path.h"
#include "sara/ops/attention.h"
#include "sara/ops/checkpoint.h"
#include "sara/ops/feed_forward.h"
#include "sara/ops/token_projection.h"

#include <torch/types.h>

namespace sara {

BasicTransformerBlock::BasicTransformerBlock(const TransformerOptions& options,
                                             const torch::TensorOptions& tensor_options) {
  const int64_t channels = options.channels;
  const AttentionOptions to_itself{channels, channels, options.heads, false, options.upcast_attention};
  const AttentionOptions to_text{channels, options.cross_attention_dim, options.heads, false, options.upcast_attention};
  norm1_ = make_at<LayerNorm>(*this, "norm1", channels, 1e-5, tensor_options);
  attn1_ = make_at<Attention>(*this, "attn1", to_itself, tensor_options);
  norm2_ = make_at<LayerNorm>(*this, "norm2", channels, 1e-5, tensor_options);
  attn2_ = make_at<Attention>(*this, "attn2", to_text, tensor_options);
  norm3_ = make_at<LayerNorm>(*this, "norm3", channels, 1e-5, tensor_options);
  ff_ = make_at<FeedForward>(*this, "ff", channels, tensor_options);
}

torch::Tensor BasicTransformerBlock::forward(const torch::Tensor& x, const torch::Tensor& context) const {
  const auto normed_attention = [this](const LayerNorm& norm, const Attention& attention, const torch::Tensor& from, const torch::Tensor& other) {
    auto parameters = attention.parameters();
    parameters.norm_weight = norm.weight;
    parameters.norm_bias = norm.bias;
    parameters.eps = norm.eps();
    return attention_block(from, other, parameters, level_);
  };
  auto result = normed_attention(*norm1_, *attn1_, x, {});
  // To the tokens of all maps that share a context they are one sequence: keys and values are made once.
  const auto shape = result.sizes().vec();
  result = normed_attention(*norm2_, *attn2_, result.view({context.size(0), -1, shape[2]}), context).view(shape);
  auto parameters = ff_->parameters();
  parameters.norm_weight = norm3_->weight;
  parameters.norm_bias = norm3_->bias;
  parameters.eps = norm3_->eps();
  return feed_forward_block(result, parameters, level_);
}

Transformer2D::Transformer2D(const TransformerOptions& options, const torch::TensorOptions& tensor_options) {
  const int64_t channels = options.channels;
  const Conv2d::Shape pointwise{.in = channels, .out = channels, .kernel = 1, .padding = 0};
  norm_ = make_at<GroupNorm>(*this, "norm", options.norm_groups, channels, 1e-6, tensor_options);
  if (options.linear_projection)
    linear_in_ = make_at<Linear>(*this, "proj_in", channels, channels, true, tensor_options);
  else
    conv_in_ = make_at<Conv2d>(*this, "proj_in", pointwise, tensor_options);
  for (int64_t i = 0; i < options.layers; ++i)
    blocks_.push_back(
        make_at<BasicTransformerBlock>(*this, message("transformer_blocks.", i), options, tensor_options));
  if (options.linear_projection)
    linear_out_ = make_at<Linear>(*this, "proj_out", channels, channels, true, tensor_options);
  else
    conv_out_ = make_at<Conv2d>(*this, "proj_out", pointwise, tensor_options);
}

void Transformer2D::set_memory_level(MemoryLevel level) {
  level_ = level;
  for (const auto& block : blocks_) block->set_memory_level(level);
}

torch::Tensor Transformer2D::run(const torch::Tensor& x, const torch::Tensor& context) const {
  const auto norm = norm_->parameters_for(/*silu=*/false);
  auto tokens = linear_in_ ? map_to_tokens(x, norm, linear_in_->weight, linear_in_->bias) : map_to_tokens(x, norm, conv_in_->weight, conv_in_->bias);
  for (const auto& block : blocks_) tokens = block->forward(tokens, context);
  return linear_out_ ? tokens_to_map(tokens, linear_out_->weight, linear_out_->bias, x) : tokens_to_map(tokens, conv_out_->weight, conv_out_->bias, x);
}

torch::Tensor Transformer2D::forward(const torch::Tensor& x, const torch::Tensor& context) const {
  if (level_ != MemoryLevel::checkpoint) return run(x, context);
  return checkpoint([this](const auto& inputs) { return run(inputs[0], inputs[1]); }, {x, context});
}

}  // namespace sara
