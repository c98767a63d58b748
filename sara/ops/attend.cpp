// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/attend.h"

#include <ATen/Parallel.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>
#include <ATen/record_function.h>

#include <cmath>

#include "sara/base/error.h"
#include "sara/ops/attention_kernel.h"
#include "sara/ops/processor.h"

namespace sara {
namespace {

// [B, T, C] <-> [B, heads, T, C / heads]
torch::Tensor heads_apart(const torch::Tensor& x, int64_t heads) { return x.unflatten(2, {heads, -1}).transpose(1, 2); }
torch::Tensor heads_together(const torch::Tensor& x) { return x.transpose(1, 2).flatten(2); }

bool has_kernel(const torch::Tensor& q, int64_t heads) {
  if (q.scalar_type() == torch::kFloat) return has_avx512();
  return q.scalar_type() == torch::kBFloat16 && has_avx512_bf16() && q.size(2) / heads % 2 == 0;
}

// Calls run(offset of the queries' numbers, of the keys' numbers, of log_sum, memory) for every head of every picture.
template <class Run>
void for_each_head(const HeadShape& shape, int64_t batch, int64_t heads, const Run& run) {
  const int64_t floats = (attention_work_floats(shape) + 15) / 16 * 16;
  const torch::Tensor memory = torch::empty({at::get_num_threads(), floats}, torch::kFloat);
  float* const start = memory.data_ptr<float>();
  at::parallel_for(0, batch * heads, 1, [&](int64_t begin, int64_t end) {
    float* const work = start + at::get_thread_num() * floats;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t picture = i / heads, channel = i % heads * shape.channels;
      run(picture * shape.queries * shape.stride + channel, picture * shape.keys * shape.stride + channel, i * shape.queries, work);
    }
  });
}

HeadShape head_shape(const torch::Tensor& q, const torch::Tensor& k, int64_t heads) {
  const int64_t channels = q.size(2) / heads;
  return {q.size(1), k.size(1), channels, q.size(2), static_cast<float>(1 / std::sqrt(double(channels)))};
}

template <class T>
void attend_to(const Attended& to, const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, int64_t heads) {
  const auto numbers = [](const torch::Tensor& x) { return static_cast<T*>(x.data_ptr()); };
  const HeadShape shape = head_shape(q, k, heads);
  for_each_head(shape, q.size(0), heads, [&](int64_t at_q, int64_t at_k, int64_t at_sum, float* work) {
    attend_head_avx512(shape, numbers(q) + at_q, numbers(k) + at_k, numbers(v) + at_k, numbers(to.values) + at_q, to.log_sum.data_ptr<float>() + at_sum, work);
  });
}

template <class T>
void attend_backward_to(const AttendGradients& to, const torch::Tensor& gradient, const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, const Attended& attended,
                        int64_t heads) {
  const auto numbers = [](const torch::Tensor& x) { return static_cast<T*>(x.data_ptr()); };
  const HeadShape shape = head_shape(q, k, heads);
  for_each_head(shape, q.size(0), heads, [&](int64_t at_q, int64_t at_k, int64_t at_sum, float* work) {
    const HeadGradient<T> head{numbers(gradient) + at_q, numbers(q) + at_q, numbers(k) + at_k, numbers(v) + at_k, numbers(attended.values) + at_q,
                               attended.log_sum.data_ptr<float>() + at_sum, numbers(to.q) + at_q, numbers(to.k) + at_k, numbers(to.v) + at_k};
    attend_head_backward_avx512(shape, head, work);
  });
}

}  // namespace

Attended attend(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, int64_t heads) {
  RECORD_FUNCTION("sara::attend", {});
  if (!has_kernel(q, heads)) {
    const auto [values, log_sum] = at::_scaled_dot_product_flash_attention_for_cpu(heads_apart(q, heads), heads_apart(k, heads), heads_apart(v, heads));
    return {heads_together(values), log_sum};
  }
  SARA_CHECK(q.is_contiguous() && k.is_contiguous() && v.is_contiguous(), "attention of strided tensors");
  const Attended attended{torch::empty_like(q), torch::empty({q.size(0), heads, q.size(1)}, torch::kFloat)};
  if (q.scalar_type() == torch::kFloat)
    attend_to<float>(attended, q, k, v, heads);
  else
    attend_to<uint16_t>(attended, q, k, v, heads);
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
    attend_backward_to<float>(gradients, gradient, q, k, v, attended, heads);
  else
    attend_backward_to<uint16_t>(gradients, gradient, q, k, v, attended, heads);
  return gradients;
}

}  // namespace sara
