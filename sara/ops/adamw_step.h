// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "sara/ops/vector_kernels.h"

namespace sara {

struct AdamWStep {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 1e-2;
  int64_t step = 1;          // updates so far, this one included
  double gradient_scale = 1;  // multiplies the gradient first: the clipping factor
};

AdamWFactors adamw_factors(const AdamWStep& settings);

// One AdamW update of flat fp32 buffers [n], in a single pass (Loshchilov & Hutter 2019, decoupled decay):
//   values -= lr weight_decay (values - target)
//   exp_avg = beta1 exp_avg + (1 - beta1) g        exp_avg_sq = beta2 exp_avg_sq + (1 - beta2) g^2
//   values -= lr / (1 - beta1^step) exp_avg / (sqrt(exp_avg_sq) / sqrt(1 - beta2^step) + eps)
// target: what decay pulls to; undefined means zero. `gradient` is read only.
void adamw_step_(const torch::Tensor& values, const torch::Tensor& gradient, const torch::Tensor& exp_avg,
                 const torch::Tensor& exp_avg_sq, const torch::Tensor& target, const AdamWStep& settings);

}  // namespace sara
