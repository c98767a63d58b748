// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <bit>
#include <cstdint>

// A function with this mark is compiled for AVX-512, for AVX2 and for any processor, and the one that fits is taken at run
// time. What it calls must be SARA_INLINE to be compiled along.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define SARA_VECTORIZED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SARA_VECTORIZED
#endif
#define SARA_INLINE inline __attribute__((always_inline))

namespace sara {

// bf16 numbers as their bits: arithmetic is fp32, storing rounds to nearest even.
using bf16_bits = uint16_t;

SARA_INLINE float load(const float* at) { return *at; }
SARA_INLINE float load(const bf16_bits* at) { return std::bit_cast<float>(static_cast<uint32_t>(*at) << 16); }
SARA_INLINE void store(float* at, float value) { *at = value; }
SARA_INLINE void store(bf16_bits* at, float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  *at = static_cast<bf16_bits>(value != value ? 0x7fc0u : rounded);
}

// e^x within 2 units of the last place; x below -87 gives e^-87, above 88 e^88.
SARA_INLINE float fast_exp(float x) {
  const float bounded = x < -87.0f ? -87.0f : (x > 88.0f ? 88.0f : x);
  const float n = __builtin_floorf(bounded * 1.44269504088896341f + 0.5f);
  const float r = (bounded - n * 0.693359375f) - n * -2.12194440e-4f;  // ln 2 in two parts
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  return (p * r * r + r + 1.0f) * std::bit_cast<float>(static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23);
}

SARA_INLINE float sigmoid(float x) { return 1.0f / (1.0f + fast_exp(-x)); }

// The type in which these loops take a tensor: fp32 and bf16 as they are, anything else as fp32.
inline at::ScalarType loop_dtype(at::ScalarType dtype) { return dtype == torch::kBFloat16 ? dtype : torch::kFloat; }

// A tensor's memory as these loops see it.
template <class T>
const T* numbers(const torch::Tensor& tensor) { return static_cast<const T*>(tensor.const_data_ptr()); }
template <class T>
T* mutable_numbers(const torch::Tensor& tensor) { return static_cast<T*>(tensor.data_ptr()); }

}  // namespace sara
