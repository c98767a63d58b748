// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/linear.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <vector>

namespace sara {

// LayerNorm over the last dimension without parameters, eps 1e-6.
torch::Tensor plain_layer_norm(const torch::Tensor& x);

// x · (1 + scale) + shift, both [B, C] for x [B, T, C].
torch::Tensor modulated(const torch::Tensor& x, const torch::Tensor& shift, const torch::Tensor& scale);

// What a condition says about how a block's streams are shifted, scaled and gated (adaLN; Peebles and Xie 2023):
// `count` vectors [B, channels] = linear(silu(condition)) in pieces. Parameter path `linear`, [count · channels, channels].
class AdaptiveNorm : public torch::nn::Module {
 public:
  AdaptiveNorm(int64_t channels, int64_t count, const torch::TensorOptions& options);
  // condition [B, channels], already through silu
  std::vector<torch::Tensor> forward(const torch::Tensor& activated_condition) const;

 private:
  int64_t count_;
  std::shared_ptr<Linear> linear_;
};

}  // namespace sara
