// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/attend.h"

#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>
#include <ATen/record_function.h>

#include "sara/base/error.h"
#include "sara/ops/attend_by_floats.h"
#include "sara/ops/attention_heads.h"
#include "sara/ops/processor.h"

namespace sara {
namespace {

// [B, T, C] <-> [B, heads, T, C / heads]
torch::Tensor heads_apart(const torch::Tensor& x, int64_t heads) { return x.unflatten(2, {heads, -1}).transpose(1, 2); }
torch::Tensor heads_together(const torch::Tensor& x) { return x.transpose(1, 2).flatten(2); }

bool has_kernel(const torch::Tensor& q, int64_t heads) { return attends_by_kernel(q.scalar_type(), q.size(2) / heads); }

template <class T>
void attend_to(AttendHead<T>* attend_head, const Attended& to, const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, int64_t heads) {
  const auto numbers = [](const torch::Tensor& x) { return static_cast<T*>(x.data_ptr()); };
  const HeadShape shape = head_shape(q, k, heads);
  for_each_head(shape, q.size(0), heads, [&](int64_t at_q, int64_t at_k, int64_t at_sum, float* work) {
    attend_head(shape, numbers(q) + at_q, numbers(k) + at_k, numbers(v) + at_k, numbers(to.values) + at_q, to.log_sum.data_ptr<float>() + at_sum, work);
  });
}

template <class T>
void attend_backward_to(AttendHeadBackward<T>* attend_head_backward, const AttendGradients& to, const torch::Tensor& gradient, const torch::Tensor& q, const torch::Tensor& k,
                        const torch::Tensor& v, const Attended& attended, int64_t heads) {
  const auto numbers = [](const torch::Tensor& x) { return static_cast<T*>(x.data_ptr()); };
  const HeadShape shape = head_shape(q, k, heads);
  for_each_head(shape, q.size(0), heads, [&](int64_t at_q, int64_t at_k, int64_t at_sum, float* work) {
    const HeadGradient<T> head{numbers(gradient) + at_q, numbers(q) + at_q, numbers(k) + at_k, numbers(v) + at_k, numbers(attended.values) + at_q,
                               attended.log_sum.data_ptr<float>() + at_sum, numbers(to.q) + at_q, numbers(to.k) + at_k, numbers(to.v) + at_k};
    attend_head_backward(shape, head, work);
  });
}

// On Intel's processors without tile registers, whose vector products of bf16 do no more than fp32's.
bool goes_by_floats() {
  static const bool slow = is_intel();
  return slow;
}

}  // namespace

bool attends_by_kernel(at::ScalarType dtype, int64_t channels) {
  if (dtype == torch::kFloat) return has_avx512();
  return dtype == torch::kBFloat16 && has_avx512_bf16() && channels % 2 == 0;
}

Attended attend(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, int64_t heads) {
  RECORD_FUNCTION("sara::attend", {});
  if (!has_kernel(q, heads)) {
    const auto [values, log_sum] = at::_scaled_dot_product_flash_attention_for_cpu(heads_apart(q, heads), heads_apart(k, heads), heads_apart(v, heads));
    return {heads_together(values), log_sum};
  }
  SARA_CHECK(q.is_contiguous() && k.is_contiguous() && v.is_contiguous(), "attention of strided tensors");
  const Attended attended{torch::empty_like(q), torch::empty({q.size(0), heads, q.size(1)}, torch::kFloat)};
  if (q.scalar_type() == torch::kFloat)
    attend_to<float>(attend_head_avx512, attended, q, k, v, heads);
  else if (has_tiles())
    attend_to<uint16_t>(attend_head_tiles, attended, q, k, v, heads);
  else if (goes_by_floats())
    attend_by_floats(attended, q, k, v, heads);
  else
    attend_to<uint16_t>(attend_head_avx512, attended, q, k, v, heads);
  return attended;
}

AttendGradients attend_backward(const torch::Tensor& gradient, const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, const Attended& attended, int64_t heads) {
  RECORD_FUNCTION("sara::attend_backward", {});
  if (!has_kernel(q, heads)) {
    const auto apart = [&](const torch::Tensor& x) { return heads_apart(x, heads); };
    const auto [of_q, of_k, of_v] = at::_scaled_dot_product_flash_attention_for_cpu_backward(apart(gradient), apart(q), apart(k), apart(v), apart(attended.values),
                                                                                           attended.log_sum, 0.0, false);
    return {heads_together(of_q), heads_together(of_k), heads_together(of_v)};
  }
  SARA_CHECK(gradient.is_contiguous() && q.is_contiguous() && k.is_contiguous() && v.is_contiguous() && attended.values.is_contiguous(), "attention of strided tensors");
  const AttendGradients gradients{torch::empty_like(q), torch::empty_like(k), torch::empty_like(v)};
  if (q.scalar_type() == torch::kFloat)
    attend_backward_to<float>(attend_head_backward_avx512, gradients, gradient, q, k, v, attended, heads);
  else if (has_tiles())
    attend_backward_to<uint16_t>(attend_head_backward_tiles, gradients, gradient, q, k, v, attended, heads);
  else if (goes_by_floats())
    attend_backward_by_floats(gradients, gradient, q, k, v, attended, heads);
  else
    attend_backward_to<uint16_t>(attend_head_backward_avx512, gradients, gradient, q, k, v, attended, heads);
  return gradients;
}

}  // namespace sara
