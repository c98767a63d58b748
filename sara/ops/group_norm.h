// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// Mean and 1 / sqrt(variance + eps) of each picture's groups of channels, fp32 [B, groups].
struct NormStatistics {
  torch::Tensor mean, rstd;
};

// Group normalisation in parts, so that a block may keep its input and two small tensors instead of the result: y = f(z),
// z = (x - mean) rstd · weight + bias, f the identity or SiLU, z · sigmoid(z). x is [B, C, ...], weight and bias [C].
// Arithmetic and sums are fp32, whatever the storage.
NormStatistics group_norm_statistics(const torch::Tensor& x, int64_t groups, double eps);
torch::Tensor group_norm_apply(const torch::Tensor& x, const NormStatistics& statistics, const torch::Tensor& weight, const torch::Tensor& bias, bool silu);

struct NormGradients {
  torch::Tensor input;         // like x
  torch::Tensor weight, bias;  // fp32
  torch::Tensor output = {};   // y again, where it was asked for: cheaper on this way than by itself
};
NormGradients group_norm_backward(const torch::Tensor& gradient, const torch::Tensor& x, const NormStatistics& statistics, const torch::Tensor& weight,
                                  const torch::Tensor& bias, bool silu, bool with_output = false);

}  // namespace sara
