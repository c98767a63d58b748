// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/group_norm_loops.h"

namespace sara {
namespace {

template <class T>
SARA_INLINE float summed(const T* x, int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += load(x + i);
  return sum;
}

template <class T>
SARA_INLINE float squares_about(float mean, const T* x, int64_t count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < count; ++i) sum += (load(x + i) - mean) * (load(x + i) - mean);
  return sum;
}

template <class T>
SARA_INLINE void normalize(T* y, const T* x, int64_t count, ChannelLine line, bool silu) {
  if (silu) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      const float z = load(x + i) * line.scale + line.shift;
      store(y + i, z * sigmoid(z));
    }
  } else {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) store(y + i, load(x + i) * line.scale + line.shift);
  }
}

template <bool kOutput, class T>
SARA_INLINE PlaneSums inner(float* to, T* output, const T* gradient, const T* x, int64_t count, float mean, ChannelLine line, bool silu) {
  float sum = 0, product = 0;
  if (silu) {
#pragma omp simd reduction(+ : sum, product)
    for (int64_t i = 0; i < count; ++i) {
      const float z = load(x + i) * line.scale + line.shift, s = sigmoid(z);
      if constexpr (kOutput) store(output + i, z * s);
      to[i] = load(gradient + i) * s * (1.0f + z * (1.0f - s));
      sum += to[i];
      product += to[i] * (load(x + i) - mean);
    }
  } else {
#pragma omp simd reduction(+ : sum, product)
    for (int64_t i = 0; i < count; ++i) {
      if constexpr (kOutput) store(output + i, load(x + i) * line.scale + line.shift);
      to[i] = load(gradient + i);
      sum += to[i];
      product += to[i] * (load(x + i) - mean);
    }
  }
  return {sum, product};
}

template <class T>
SARA_INLINE void outer(T* out, const float* inner, const T* x, int64_t count, float mean, float of_inner, float of_x, float constant) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) store(out + i, of_inner * inner[i] + of_x * (load(x + i) - mean) + constant);
}

}  // namespace

SARA_VECTORIZED float sum_of_plane(const float* x, int64_t count) { return summed(x, count); }
SARA_VECTORIZED float sum_of_plane(const bf16_bits* x, int64_t count) { return summed(x, count); }
SARA_VECTORIZED float squares_of_plane(float mean, const float* x, int64_t count) { return squares_about(mean, x, count); }
SARA_VECTORIZED float squares_of_plane(float mean, const bf16_bits* x, int64_t count) { return squares_about(mean, x, count); }
SARA_VECTORIZED void normalize_plane(float* y, const float* x, int64_t count, ChannelLine line, bool silu) { normalize(y, x, count, line, silu); }
SARA_VECTORIZED void normalize_plane(bf16_bits* y, const bf16_bits* x, int64_t count, ChannelLine line, bool silu) { normalize(y, x, count, line, silu); }

SARA_VECTORIZED PlaneSums inner_gradient(float* to, float* output, const float* gradient, const float* x, int64_t count, float mean, ChannelLine line, bool silu) {
  return output ? inner<true>(to, output, gradient, x, count, mean, line, silu) : inner<false>(to, output, gradient, x, count, mean, line, silu);
}
SARA_VECTORIZED PlaneSums inner_gradient(float* to, bf16_bits* output, const bf16_bits* gradient, const bf16_bits* x, int64_t count, float mean, ChannelLine line, bool silu) {
  return output ? inner<true>(to, output, gradient, x, count, mean, line, silu) : inner<false>(to, output, gradient, x, count, mean, line, silu);
}

SARA_VECTORIZED void outer_gradient(float* out, const float* inner, const float* x, int64_t count, float mean, float of_inner, float of_x, float constant) {
  outer(out, inner, x, count, mean, of_inner, of_x, constant);
}
SARA_VECTORIZED void outer_gradient(bf16_bits* out, const float* inner, const bf16_bits* x, int64_t count, float mean, float of_inner, float of_x, float constant) {
  outer(out, inner, x, count, mean, of_inner, of_x, constant);
}

}  // namespace sara
