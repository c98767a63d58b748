// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/transformer.h"

#include "sara/base/message.h"
#include "sara/layers/register_path.h"

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
  const auto normed = norm1_->forward(x);
  auto result = x + attn1_->forward(normed, normed);
  result = result + attn2_->forward(norm2_->forward(result), context);
  return result + ff_->forward(norm3_->forward(result));
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

torch::Tensor Transformer2D::forward(const torch::Tensor& x, const torch::Tensor& context) const {
  const int64_t height = x.size(2), width = x.size(3);
  auto map = norm_->forward(x);
  if (conv_in_) map = conv_in_->forward(map);
  auto tokens = map.flatten(2).transpose(1, 2);  // [B, H·W, C]
  // Contiguous tokens: every block's linear layer and norm would otherwise copy them again.
  tokens = linear_in_ ? linear_in_->forward(tokens) : tokens.contiguous();
  for (const auto& block : blocks_) tokens = block->forward(tokens, context);
  if (linear_out_) tokens = linear_out_->forward(tokens);
  map = tokens.transpose(1, 2).unflatten(2, {height, width}).contiguous();
  if (conv_out_) map = conv_out_->forward(map);
  return map + x;
}

}  // namespace sara
