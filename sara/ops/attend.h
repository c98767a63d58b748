// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// Whether heads of this many channels are attended by kernels of our own; elsewhere torch's flash attention is taken.
bool attends_by_kernel(at::ScalarType dtype, int64_t channels);

// softmax(q kᵀ / sqrt(d)) v by heads, on the CPU, without the T × S matrix. q [B, T, C], k and v [B, S, C], C = heads · d.
struct Attended {
  torch::Tensor values;   // [B, T, C], in their dtype
  torch::Tensor log_sum;  // [B, heads, T] fp32: log sum_s exp(q · k[s] / sqrt(d))
};
Attended attend(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, int64_t heads);

struct AttendGradients {
  torch::Tensor q, k, v;
};
AttendGradients attend_backward(const torch::Tensor& gradient, const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, const Attended& attended, int64_t heads);

}  // namespace sara
