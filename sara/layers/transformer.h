// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/attention.h"
#include "sara/layers/conv.h"
#include "sara/layers/feed_forward.h"
#include "sara/layers/norm.h"
#include "sara/ops/memory_level.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <vector>

namespace sara {

struct TransformerOptions {
  int64_t channels = 0;
  int64_t heads = 1;  // must divide channels
  int64_t layers = 1;
  int64_t cross_attention_dim = 0;
  int64_t norm_groups = 32;
  bool linear_projection = false;  // Linear instead of a 1x1 convolution around the blocks
  bool upcast_attention = false;
};

// x += attn1(norm1(x)); x += attn2(norm2(x), context); x += ff(norm3(x)). LayerNorm eps 1e-5.
class BasicTransformerBlock : public torch::nn::Module {
 public:
  BasicTransformerBlock(const TransformerOptions& options, const torch::TensorOptions& tensor_options);
  // x [N, T, C], context [B, S, cross_attention_dim] -> [N, T, C]. N is a multiple of B: neighbours share a context.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& context) const;
  void set_memory_level(MemoryLevel level) { level_ = level; }

 private:
  MemoryLevel level_ = MemoryLevel::n0;
  std::shared_ptr<LayerNorm> norm1_, norm2_, norm3_;
  std::shared_ptr<Attention> attn1_, attn2_;
  std::shared_ptr<FeedForward> ff_;
};

// A feature map through transformer blocks: GroupNorm (eps 1e-6), proj_in, the blocks over the H·W positions,
// proj_out, plus the input. x [N, C, H, W], context [B, S, cross_attention_dim] -> [N, C, H, W]; N as above.
class Transformer2D : public torch::nn::Module {
 public:
  Transformer2D(const TransformerOptions& options, const torch::TensorOptions& tensor_options);
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& context) const;
  void set_memory_level(MemoryLevel level);

 private:
  torch::Tensor run(const torch::Tensor& x, const torch::Tensor& context) const;

  MemoryLevel level_ = MemoryLevel::n0;
  std::shared_ptr<GroupNorm> norm_;
  std::shared_ptr<Linear> linear_in_, linear_out_;  // these two or
  std::shared_ptr<Conv2d> conv_in_, conv_out_;      // these two
  std::vector<std::shared_ptr<BasicTransformerBlock>> blocks_;
};

}  // namespace sara
