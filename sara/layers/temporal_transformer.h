// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/attention.h"
#include "sara/layers/feed_forward.h"
#include "sara/layers/norm.h"
#include "sara/ops/memory_level.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <vector>

namespace sara {

struct TemporalTransformerOptions {
  int64_t channels = 0;
  int64_t heads = 8;  // must divide channels
  int64_t layers = 1;
  int64_t max_frames = 32;  // rows of the table of positions
  int64_t norm_groups = 32;
};

// A fixed table, buffer pe [1, max_frames, C]: with w_i = 10000^(-2 i / C), pe[t, 2 i] = sin(t w_i), pe[t, 2 i + 1] = cos(t w_i).
// Files may carry their own.
class FramePositions : public torch::nn::Module {
 public:
  FramePositions(int64_t max_frames, int64_t channels, const torch::TensorOptions& tensor_options);
  torch::Tensor of(int64_t frames) const { return pe_[0].narrow(0, 0, frames); }  // [frames, C]

 private:
  torch::Tensor pe_;
};

// x += attn1(norm1(x) + p); x += attn2(norm2(x) + p); x += ff(norm3(x)), where p is the frames' positions and both
// attentions are of a place to itself in the other frames. LayerNorm eps 1e-5.
class TemporalTransformerBlock : public torch::nn::Module {
 public:
  TemporalTransformerBlock(const TemporalTransformerOptions& options, const torch::TensorOptions& tensor_options);
  // x [places, frames, C] -> the same
  torch::Tensor forward(const torch::Tensor& x) const;
  void set_memory_level(MemoryLevel level) { level_ = level; }

 private:
  MemoryLevel level_ = MemoryLevel::n0;
  std::shared_ptr<LayerNorm> norm1_, norm2_, norm3_;
  std::shared_ptr<Attention> attn1_, attn2_;
  std::shared_ptr<FeedForward> ff_;
  std::shared_ptr<FramePositions> positions_;
};

// A motion module: the frames of a clip through transformer blocks, each place of the feature map by itself. GroupNorm (eps
// 1e-6, over all frames together), proj_in, the blocks over the frames, proj_out, plus the input.
// x [B · frames, C, H, W], the frames of a clip one after the other -> the same. At most max_frames.
class TemporalTransformer : public torch::nn::Module {
 public:
  TemporalTransformer(const TemporalTransformerOptions& options, const torch::TensorOptions& tensor_options);
  torch::Tensor forward(const torch::Tensor& x, int64_t frames) const;
  void set_memory_level(MemoryLevel level);

 private:
  torch::Tensor run(const torch::Tensor& x, int64_t frames) const;

  MemoryLevel level_ = MemoryLevel::n0;
  std::shared_ptr<GroupNorm> norm_;
  std::shared_ptr<Linear> proj_in_, proj_out_;
  std::vector<std::shared_ptr<TemporalTransformerBlock>> blocks_;
};

}  // namespace sara
