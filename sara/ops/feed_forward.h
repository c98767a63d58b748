// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "sara/ops/memory_level.h"

namespace sara {

// The gated feed-forward with its norm and its residual: x + W2 geglu(W1 layer_norm(x) + b1) + b2.
struct FeedForwardParameters {
  torch::Tensor norm_weight, norm_bias;  // [C]
  torch::Tensor in_weight, in_bias;      // [8 C, C], [8 C]
  torch::Tensor out_weight, out_bias;    // [C, 4 C], [C]
  double eps = 1e-5;
};

// x [..., C] -> [..., C]. It keeps x, the norm's statistics and, at level n0, the 8 C numbers a token in front of the gate.
torch::Tensor feed_forward_block(const torch::Tensor& x, const FeedForwardParameters& parameters, MemoryLevel level);

}  // namespace sara
