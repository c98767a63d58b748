// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/geglu.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <ATen/ops/gelu.h>
#include <ATen/ops/gelu_backward.h>

#include "sara/cuda/kernels.h"
#include "sara/ops/vectorized.h"

namespace sara {
namespace {

struct Normal {
  float cumulative, density;  // Φ(x) and φ(x)
};

// Abramowitz and Stegun, 7.1.26: the exponential serves both.
SARA_INLINE Normal normal(float x) {
  const float z = __builtin_fabsf(x) * 0.70710678118654752f, e = fast_exp(-z * z);
  const float t = 1.0f / (1.0f + 0.3275911f * z);
  float p = 1.061405429f;
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const float upper = 0.5f * p * t * e;  // 1 - Φ(|x|)
  return {x < 0 ? upper : 1.0f - upper, 0.39894228040143268f * e};
}

template <class T>
SARA_INLINE void gate(T* out, const T* a, const T* g, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) store(out + i, load(a + i) * (load(g + i) * normal(load(g + i)).cumulative));
}

template <class T>
SARA_INLINE void gate_backward(T* da, T* dg, T* out, const T* d, const T* a, const T* g, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const float x = load(g + i), given = load(d + i), other = load(a + i);
    const Normal n = normal(x);
    const float gelu = x * n.cumulative;
    store(da + i, given * gelu);
    store(dg + i, given * other * (n.cumulative + x * n.density));
    store(out + i, other * gelu);
  }
}

SARA_VECTORIZED void gate_f32(float* out, const float* a, const float* g, int64_t n) { gate(out, a, g, n); }
SARA_VECTORIZED void gate_bf16(bf16_bits* out, const bf16_bits* a, const bf16_bits* g, int64_t n) { gate(out, a, g, n); }
SARA_VECTORIZED void gate_backward_f32(float* da, float* dg, float* out, const float* d, const float* a, const float* g, int64_t n) { gate_backward(da, dg, out, d, a, g, n); }
SARA_VECTORIZED void gate_backward_bf16(bf16_bits* da, bf16_bits* dg, bf16_bits* out, const bf16_bits* d, const bf16_bits* a, const bf16_bits* g, int64_t n) {
  gate_backward(da, dg, out, d, a, g, n);
}

constexpr int64_t kGateGrain = 16;  // tokens

}  // namespace

torch::Tensor geglu(const torch::Tensor& halves) {
  RECORD_FUNCTION("sara::geglu", {});
  const int64_t width = halves.size(-1) / 2;
  auto sizes = halves.sizes().vec();
  sizes.back() = width;
  if (const auto* kernels = cuda::kernels(halves.device())) {
    const torch::Tensor out = torch::empty(sizes, halves.options());
    kernels->geglu(out, halves.contiguous());
    return out;
  }
  if (!halves.is_cpu()) return halves.narrow(-1, 0, width) * at::gelu(halves.narrow(-1, width, width));
  const torch::Tensor from = halves.to(loop_dtype(halves.scalar_type())).contiguous();
  const torch::Tensor out = torch::empty(sizes, from.options());
  const auto run = [&]<class T>(T* to, auto loop) {
    at::parallel_for(0, from.numel() / (2 * width), kGateGrain, [&](int64_t first, int64_t last) {
      for (int64_t t = first; t < last; ++t) loop(to + t * width, numbers<T>(from) + 2 * t * width, numbers<T>(from) + (2 * t + 1) * width, width);
    });
  };
  if (from.scalar_type() == torch::kBFloat16)
    run(mutable_numbers<bf16_bits>(out), gate_bf16);
  else
    run(mutable_numbers<float>(out), gate_f32);
  return out.to(halves.scalar_type());
}

GegluGradients geglu_backward(const torch::Tensor& gradient, const torch::Tensor& halves) {
  RECORD_FUNCTION("sara::geglu_backward", {});
  const int64_t width = halves.size(-1) / 2;
  if (const auto* kernels = cuda::kernels(halves.device())) {
    const torch::Tensor from = halves.contiguous(), given = gradient.to(halves.scalar_type()).contiguous();
    const GegluGradients gradients{torch::empty_like(from), torch::empty_like(given)};
    kernels->geglu_backward(gradients.halves, gradients.product, given, from);
    return gradients;
  }
  if (!halves.is_cpu()) {
    const torch::Tensor a = halves.narrow(-1, 0, width), g = halves.narrow(-1, width, width), gelu = at::gelu(g);
    return {torch::cat({gradient * gelu, at::gelu_backward(gradient * a, g)}, -1), a * gelu};
  }
  const auto dtype = loop_dtype(halves.scalar_type());
  const torch::Tensor from = halves.to(dtype).contiguous(), given = gradient.to(dtype).contiguous();
  const torch::Tensor out = torch::empty_like(from), product = torch::empty_like(given);
  const auto run = [&]<class T>(T* to, auto loop) {
    at::parallel_for(0, given.numel() / width, kGateGrain, [&](int64_t first, int64_t last) {
      for (int64_t t = first; t < last; ++t)
        loop(to + 2 * t * width, to + (2 * t + 1) * width, mutable_numbers<T>(product) + t * width, numbers<T>(given) + t * width, numbers<T>(from) + 2 * t * width,
             numbers<T>(from) + (2 * t + 1) * width, width);
    });
  };
  if (dtype == torch::kBFloat16)
    run(mutable_numbers<bf16_bits>(out), gate_backward_bf16);
  else
    run(mutable_numbers<float>(out), gate_backward_f32);
  return {out.to(halves.scalar_type()), product.to(halves.scalar_type())};
}

}  // namespace sara
