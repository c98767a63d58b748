// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/ops/attend.h"

namespace sara {

// Attention of bf16 tensors by the kernel of floats (attention_kernel.h): each head is copied there and back. q, k, v and what is written as in attend.h,
// contiguous, on a processor with 512-bit registers.
void attend_by_floats(const Attended& to, const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, int64_t heads);
void attend_backward_by_floats(const AttendGradients& to, const torch::Tensor& gradient, const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, const Attended& attended,
                               int64_t heads);

}  // namespace sara
