// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// The gate of a feed-forward: with [a, g] the halves of the last dimension, a · gelu(g), gelu(g) = g Φ(g) with the exact
// normal distribution (erf to 1.5e-7). [..., 2 D] -> [..., D]
torch::Tensor geglu(const torch::Tensor& halves);

struct GegluGradients {
  torch::Tensor halves;   // [..., 2 D]
  torch::Tensor product;  // the forward result again [..., D]
};
GegluGradients geglu_backward(const torch::Tensor& gradient, const torch::Tensor& halves);

}  // namespace sara
