// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/nn/module.h>
#include <torch/types.h>

namespace sara {

// y = x / sqrt(mean(x^2) + eps) · weight over the last dimension, the mean in fp32. x is [..., C]; weight is [C].
class RmsNorm : public torch::nn::Module {
 public:
  RmsNorm(int64_t channels, double eps, const torch::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x) const;

  torch::Tensor weight;

 private:
  double eps_;
};

}  // namespace sara
