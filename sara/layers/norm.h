// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/nn/module.h>
#include <torch/types.h>

#include "sara/ops/norm_conv2d.h"

namespace sara {

// y = (x - mean) / sqrt(var + eps) · weight + bias, mean and biased variance over each group of channels and all
// positions. x is [B, C, ...]; weight and bias are [C]. Throws InvalidArgument unless groups divides channels.
class GroupNorm : public torch::nn::Module {
 public:
  GroupNorm(int64_t groups, int64_t channels, double eps, const torch::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x) const;
  // What a fused block needs instead of forward().
  GroupNormParameters parameters_for(bool silu) const { return {weight, bias, groups_, eps_, silu}; }

  torch::Tensor weight, bias;

 private:
  int64_t groups_;
  double eps_;
};

// The same over the last dimension. x is [..., C]; weight and bias are [C].
class LayerNorm : public torch::nn::Module {
 public:
  LayerNorm(int64_t channels, double eps, const torch::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x) const;

  double eps() const { return eps_; }

  torch::Tensor weight, bias;

 private:
  double eps_;
};

}  // namespace sara
