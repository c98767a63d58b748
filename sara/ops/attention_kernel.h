// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sara {

// One head of softmax(scale · q kᵀ) v. Token t of q, k, v and of everything of their shapes lies at t · stride.
struct HeadShape {
  int64_t queries, keys, channels;  // channels: even for bf16
  int64_t stride;
  float scale;
};

constexpr int64_t kAttentionQueries = 64;  // that pass together
constexpr int64_t kAttentionKeys = 128;    // that pass together

// fp32 numbers that either pass works in; the memory must be aligned to 64 bytes.
inline int64_t attention_work_floats(const HeadShape& shape) {
  const auto rounded = [](int64_t count) { return (count + 15) / 16 * 16; };
  constexpr int64_t tile = kAttentionKeys * kAttentionQueries;
  return 5 * tile + shape.channels * (3 * kAttentionQueries + rounded(shape.keys)) + 2 * rounded(shape.channels) * (kAttentionQueries + shape.keys) + 3 * kAttentionQueries;
}

template <class T>
using AttendHead = void(const HeadShape&, const T* q, const T* k, const T* v, T* values, float* log_sum, float* work);

// In 512-bit registers (sara/ops/processor.h says whether they are there); numbers of bf16 are their bits, sums are fp32.
// values[t] = sum_s p[t, s] v[s], log_sum[t] = log sum_s exp(scale · q[t] k[s]). The matrix p never exists as a whole.
void attend_head_avx512(const HeadShape&, const float* q, const float* k, const float* v, float* values, float* log_sum, float* work);
void attend_head_avx512(const HeadShape&, const uint16_t* q, const uint16_t* k, const uint16_t* v, uint16_t* values, float* log_sum, float* work);
void attend_head_tiles(const HeadShape&, const uint16_t* q, const uint16_t* k, const uint16_t* v, uint16_t* values, float* log_sum, float* work);  // products by matrix_tiles.h

// From the gradient of the values and what the forward pass left: the gradients of q, k and v.
template <class T>
struct HeadGradient {
  const T *gradient, *q, *k, *v, *values;
  const float* log_sum;
  T *of_q, *of_k, *of_v;
};
template <class T>
using AttendHeadBackward = void(const HeadShape&, const HeadGradient<T>&, float* work);
void attend_head_backward_avx512(const HeadShape&, const HeadGradient<float>&, float* work);
void attend_head_backward_avx512(const HeadShape&, const HeadGradient<uint16_t>&, float* work);
void attend_head_backward_tiles(const HeadShape&, const HeadGradient<uint16_t>&, float* work);

}  // namespace sara
