// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/attend_by_floats.h"

#include "sara/ops/attention_heads.h"
#include "sara/ops/vectorized.h"

namespace sara {
namespace {

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

}  // namespace

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

}  // namespace sara
