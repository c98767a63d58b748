// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/ops/group_norm.h"

namespace sara {

// Layer normalisation over the last dimension, in parts like group_norm.h: y = (x - mean) rstd · weight + bias, mean and rstd
// one number a token (fp32). x is [..., C], weight and bias [C].
struct LayerNormResult {
  torch::Tensor value;  // like x
  NormStatistics statistics;
};
LayerNormResult layer_norm(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, double eps);

// The value again, from statistics that were kept.
torch::Tensor layer_norm_apply(const torch::Tensor& x, const NormStatistics& statistics, const torch::Tensor& weight, const torch::Tensor& bias);

// `add` (undefined for none) is added to the input's gradient: what reaches x beside the norm.
NormGradients layer_norm_backward(const torch::Tensor& gradient, const torch::Tensor& x, const NormStatistics& statistics, const torch::Tensor& weight,
                                  const torch::Tensor& add);

}  // namespace sara
