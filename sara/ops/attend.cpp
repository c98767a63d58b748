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
#include "sara/ops/vectorized.h"

namespace sara {
namespace {

// [B, T, C] <-> [B, heads, T, C / heads]
torch::Tensor heads_apart(const torch::Tensor& x, int64_t heads) { return x.unflatten(2, {heads, -1}).transpose(1, 2); }
torch::Tensor heads_together(const torch::Tensor& x) { return x.transpose(1, 2).flatten(2); }

bool has_kernel(const torch::Tensor& q, int64_t heads) { return attends_by_kernel(q.scalar_type(), q.size(2) / heads); }

// Calls run(offset of the queries' numbers, of the keys' numbers, of log_sum, memory) for every head of every picture. The memory ends
// with `more` floats of the caller's.
template <class Run>
void for_each_head(const HeadShape& shape, int64_t batch, int64_t heads, const Run& run, int64_t more = 0) {
  const int64_t floats = (attention_work_floats(shape) + more + 15) / 16 * 16;
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
void attend_to(AttendHead<T>* attend_head, const Attended& to, const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, int64_t heads) {
  const auto numbers = [](const torch::Tensor& x) { return static_cast<T*>(x.data_ptr()); };
  const HeadShape shape = head_shape(q, k, heads);
  for_each_head(shape, q.size(0), heads, [&](int64_t at_q, int64_t at_k, int64_t at_sum, float* work) {
    attend_head(shape, numbers(q) + at_q, numbers(k) + at_k, numbers(v) + at_k, numbers(to.values) + at_q, to.log_sum.data_ptr<float>() + at_sum, work);
  });
}

template <class T>
void attend_backward_to(AttendHeadBackward<T>* attend_head_backward, const AttendGradients& to, const torch::Tensor& gradient, const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, const Attended& attended,
                        int64_t heads) {
  const auto numbers = [](const torch::Tensor& x) { return static_cast<T*>(x.data_ptr()); };
  const HeadShape shape = head_shape(q, k, heads);
  for_each_head(shape, q.size(0), heads, [&](int64_t at_q, int64_t at_k, int64_t at_sum, float* work) {
    const HeadGradient<T> head{numbers(gradient) + at_q, numbers(q) + at_q, numbers(k) + at_k, numbers(v) + at_k, numbers(attended.values) + at_q,
                               attended.log_sum.data_ptr<float>() + at_sum, numbers(to.q) + at_q, numbers(to.k) + at_k, numbers(to.v) + at_k};
    attend_head_backward(shape, head, work);
  });
}

// On Intel's processors without tile registers, whose vector products of bf16 do no more than fp32's, heads of bf16 numbers go by the kernel of floats,
// copied there and back.
bool goes_by_floats() {
  static const bool slow = is_intel();
  return slow;
}

SARA_VECTORIZED void widen_head(float* to, const bf16_bits* from, int64_t tokens, int64_t channels, int64_t stride) {
  for (int64_t t = 0; t < tokens; ++t) {
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) to[t * channels + c] = load(from + t * stride + c);
  }
}

SARA_VECTORIZED void narrow_head(bf16_bits* to, const float* from, int64_t tokens, int64_t channels, int64_t stride) {
  for (int64_t t = 0; t < tokens; ++t) {
#pragma omp simd
    for (int64_t c = 0; c < channels; ++c) store(to + t * stride + c, from[t * channels + c]);
  }
}

// The float copies of one head, one behind the other in the memory that begins at `at`.
struct WideHead {
  HeadShape shape;  // of the copies
  int64_t stride;   // of the bf16 numbers
  float* at;

  WideHead(const HeadShape& narrow, float* memory) : shape(narrow), stride(narrow.stride), at(memory) { shape.stride = narrow.channels; }
  float* empty(int64_t tokens) {
    float* const begin = at;
    at += tokens * shape.channels;
    return begin;
  }
  float* copy(const bf16_bits* from, int64_t tokens) {
    float* const begin = empty(tokens);
    widen_head(begin, from, tokens, shape.channels, stride);
    return begin;
  }
  void back(bf16_bits* to, const float* from, int64_t tokens) const { narrow_head(to, from, tokens, shape.channels, stride); }
};

void attend_by_floats(const Attended& to, const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, int64_t heads) {
  const HeadShape shape = head_shape(q, k, heads);
  const auto run = [&](int64_t at_q, int64_t at_k, int64_t at_sum, float* work) {
    WideHead head(shape, work + attention_work_floats(shape));
    const float *const wide_q = head.copy(numbers<bf16_bits>(q) + at_q, shape.queries), *const wide_k = head.copy(numbers<bf16_bits>(k) + at_k, shape.keys);
    const float* const wide_v = head.copy(numbers<bf16_bits>(v) + at_k, shape.keys);
    float* const values = head.empty(shape.queries);
    attend_head_avx512(head.shape, wide_q, wide_k, wide_v, values, to.log_sum.data_ptr<float>() + at_sum, work);
    head.back(mutable_numbers<bf16_bits>(to.values) + at_q, values, shape.queries);
  };
  for_each_head(shape, q.size(0), heads, run, 2 * (shape.queries + shape.keys) * shape.channels);
}

void attend_backward_by_floats(const AttendGradients& to, const torch::Tensor& gradient, const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                               const Attended& attended, int64_t heads) {
  const HeadShape shape = head_shape(q, k, heads);
  const auto run = [&](int64_t at_q, int64_t at_k, int64_t at_sum, float* work) {
    WideHead head(shape, work + attention_work_floats(shape));
    const auto copy = [&](const torch::Tensor& tensor, int64_t at, int64_t tokens) { return head.copy(numbers<bf16_bits>(tensor) + at, tokens); };
    const HeadGradient<float> wide{copy(gradient, at_q, shape.queries), copy(q, at_q, shape.queries),  copy(k, at_k, shape.keys),
                                   copy(v, at_k, shape.keys),           copy(attended.values, at_q, shape.queries), attended.log_sum.data_ptr<float>() + at_sum,
                                   head.empty(shape.queries),           head.empty(shape.keys),        head.empty(shape.keys)};
    attend_head_backward_avx512(head.shape, wide, work);
    head.back(mutable_numbers<bf16_bits>(to.q) + at_q, wide.of_q, shape.queries);
    head.back(mutable_numbers<bf16_bits>(to.k) + at_k, wide.of_k, shape.keys);
    head.back(mutable_numbers<bf16_bits>(to.v) + at_k, wide.of_v, shape.keys);
  };
  for_each_head(shape, q.size(0), heads, run, 4 * (shape.queries + shape.keys) * shape.channels);
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
