// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "sara/cuda/host_device.h"

namespace sara::cuda {

// 16-bit numbers as their bits. Arithmetic is fp32; storing rounds to nearest even, as torch does.
struct BFloat16 {
  uint16_t bits;
};
struct Half {
  uint16_t bits;
};

SARA_HOST_DEVICE uint32_t bits_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

SARA_HOST_DEVICE float float_of(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

SARA_HOST_DEVICE float to_float(float x) { return x; }
SARA_HOST_DEVICE float to_float(BFloat16 x) { return float_of(static_cast<uint32_t>(x.bits) << 16); }
SARA_HOST_DEVICE float to_float(Half x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16, exponent = (x.bits >> 10) & 0x1fu, fraction = x.bits & 0x3ffu;
  if (exponent == 0) {  // zeros and subnormal numbers: fraction · 2^-24
    const float magnitude = static_cast<float>(fraction) * 5.9604644775390625e-8f;
    return sign ? -magnitude : magnitude;
  }
  return float_of(sign | (exponent == 0x1fu ? 0x7f800000u : (exponent + 112u) << 23) | fraction << 13);
}

SARA_HOST_DEVICE void store(float* at, float x) { *at = x; }
SARA_HOST_DEVICE void store(BFloat16* at, float x) {
  const uint32_t bits = bits_of(x), rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  at->bits = static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);  // a carry must not make NaN a number
}
SARA_HOST_DEVICE void store(Half* at, float x) {
  const uint32_t sign = (bits_of(x) >> 16) & 0x8000u, magnitude = bits_of(x) & 0x7fffffffu;
  uint32_t half;
  if (magnitude > 0x7f800000u) {
    half = 0x7e00u;  // NaN
  } else if (magnitude >= 0x47800000u) {
    half = 0x7c00u;  // from 65536 on
  } else if (magnitude < 0x38800000u) {
    half = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u;  // below 2^-14: the addition rounds to multiples of 2^-24
  } else {
    half = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;  // 65520 and more carry into infinity
  }
  at->bits = static_cast<uint16_t>(sign | half);
}

SARA_HOST_DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

}  // namespace sara::cuda
