// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/adaptive_norm.h"
#include "sara/layers/gelu_feed_forward.h"
#include "sara/layers/joint_attention.h"
#include "sara/ops/memory_level.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>

namespace sara {

struct MmditBlockOptions {
  int64_t channels = 0, heads = 1;
  bool qk_norm = false;
  bool dual_attention = false;  // the picture also attends to itself alone
  bool last = false;            // the context is seen for the last time: nothing of it comes out
};

// The picture's and the text's tokens on their way through a block.
struct MmditStreams {
  torch::Tensor picture, context;  // [B, T, C], [B, S, C]; context undefined after the last block
};

// JointTransformerBlock. With the condition's shifts, scales and gates (AdaptiveNorm), for each stream:
//   x += gate · attention(modulated(norm(x)));  x += gate' · ff(modulated'(norm(x)))
// both streams sharing one attention; with dual attention the picture adds gate'' · attn2(modulated''(norm(x))) between.
class MmditBlock : public torch::nn::Module {
 public:
  MmditBlock(const MmditBlockOptions& options, const torch::TensorOptions& tensor_options);
  // activated_condition = silu(condition) [B, C]
  MmditStreams forward(const MmditStreams& streams, const torch::Tensor& activated_condition) const;

  // At MemoryLevel::checkpoint only what goes in is kept, and backward runs the block again; N1 and N2 keep what N0 keeps.
  void set_memory_level(MemoryLevel level) { level_ = level; }

 private:
  MmditStreams pass(const MmditStreams& streams, const torch::Tensor& activated_condition) const;

  MemoryLevel level_ = MemoryLevel::n0;
  bool last_;
  std::shared_ptr<AdaptiveNorm> norm1_, norm1_context_;
  std::shared_ptr<JointAttention> attn_, attn2_;
  std::shared_ptr<GeluFeedForward> ff_, ff_context_;
};

}  // namespace sara
