// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/temporal_transformer.h"

#include "sara/base/message.h"
#include "sara/layers/register_path.h"
#include "sara/ops/attention.h"
#include "sara/ops/checkpoint.h"
#include "sara/ops/feed_forward.h"
#include "sara/ops/token_projection.h"

#include <torch/types.h>

#include <cmath>

namespace sara {

FramePositions::FramePositions(int64_t max_frames, int64_t channels, const torch::TensorOptions& tensor_options) {
  const auto frequencies = torch::exp(torch::arange(0, channels, 2, torch::kFloat32) * (-std::log(10000.0) / double(channels)));
  const auto angles = torch::outer(torch::arange(max_frames, torch::kFloat32), frequencies);  // [max_frames, ceil(C / 2)]
  const auto table = torch::stack({angles.sin(), angles.cos()}, 2).flatten(1).narrow(1, 0, channels);
  pe_ = register_buffer("pe", table.unsqueeze(0).contiguous().to(tensor_options));
}

TemporalTransformerBlock::TemporalTransformerBlock(const TemporalTransformerOptions& options, const torch::TensorOptions& tensor_options) {
  const int64_t channels = options.channels;
  const AttentionOptions to_itself{channels, channels, options.heads};
  norm1_ = make_at<LayerNorm>(*this, "norm1", channels, 1e-5, tensor_options);
  attn1_ = make_at<Attention>(*this, "attn1", to_itself, tensor_options);
  norm2_ = make_at<LayerNorm>(*this, "norm2", channels, 1e-5, tensor_options);
  attn2_ = make_at<Attention>(*this, "attn2", to_itself, tensor_options);
  norm3_ = make_at<LayerNorm>(*this, "norm3", channels, 1e-5, tensor_options);
  ff_ = make_at<FeedForward>(*this, "ff", channels, tensor_options);
  positions_ = make_at<FramePositions>(*this, "pos_embed", options.max_frames, channels, tensor_options);
}

torch::Tensor TemporalTransformerBlock::forward(const torch::Tensor& x) const {
  const auto among_frames = [this](const LayerNorm& norm, const Attention& attention, const torch::Tensor& from) {
    auto parameters = attention.parameters();
    parameters.norm_weight = norm.weight;
    parameters.norm_bias = norm.bias;
    parameters.eps = norm.eps();
    parameters.positions = positions_->of(from.size(1));
    return attention_block(from, {}, parameters, level_);
  };
  const auto result = among_frames(*norm2_, *attn2_, among_frames(*norm1_, *attn1_, x));
  auto parameters = ff_->parameters();
  parameters.norm_weight = norm3_->weight;
  parameters.norm_bias = norm3_->bias;
  parameters.eps = norm3_->eps();
  return feed_forward_block(result, parameters, level_);
}

TemporalTransformer::TemporalTransformer(const TemporalTransformerOptions& options, const torch::TensorOptions& tensor_options) {
  const int64_t channels = options.channels;
  norm_ = make_at<GroupNorm>(*this, "norm", options.norm_groups, channels, 1e-6, tensor_options);
  proj_in_ = make_at<Linear>(*this, "proj_in", channels, channels, true, tensor_options);
  for (int64_t i = 0; i < options.layers; ++i)
    blocks_.push_back(make_at<TemporalTransformerBlock>(*this, message("transformer_blocks.", i), options, tensor_options));
  proj_out_ = make_at<Linear>(*this, "proj_out", channels, channels, true, tensor_options);
}

void TemporalTransformer::set_memory_level(MemoryLevel level) {
  level_ = level;
  for (const auto& block : blocks_) block->set_memory_level(level);
}

torch::Tensor TemporalTransformer::run(const torch::Tensor& x, int64_t frames) const {
  const int64_t batch = x.size(0) / frames, channels = x.size(1), height = x.size(2), places = height * x.size(3);
  // The frames below each other are one map, so that the norm and the projection see all of them.
  const auto map = x.reshape({batch, frames, channels, height, -1}).transpose(1, 2).reshape({batch, channels, frames * height, -1});
  auto tokens = map_to_tokens(map, norm_->parameters_for(/*silu=*/false), proj_in_->weight, proj_in_->bias);
  tokens = tokens.view({batch, frames, places, channels}).transpose(1, 2).reshape({batch * places, frames, channels});
  for (const auto& block : blocks_) tokens = block->forward(tokens);
  tokens = tokens.view({batch, places, frames, channels}).transpose(1, 2).reshape({batch * frames, places, channels});
  return tokens_to_map(tokens, proj_out_->weight, proj_out_->bias, x);
}

torch::Tensor TemporalTransformer::forward(const torch::Tensor& x, int64_t frames) const {
  if (level_ != MemoryLevel::checkpoint) return run(x, frames);
  return checkpoint([this, frames](const auto& inputs) { return run(inputs[0], frames); }, {x});
}

}  // namespace sara
