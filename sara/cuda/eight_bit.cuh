// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/cuda/numbers.cuh"

namespace sara::cuda {

// The codes of sparse/eight_bit.h, with the arithmetic of ops/vector_kernels.cpp.
constexpr int kCodesInBlock = 256;

// The fraction of the scale that a code stands for.
SARA_HOST_DEVICE float signed_level(float code) {
  const float x = code * (1.0f / 127);
  return x * fabsf(x);
}

SARA_HOST_DEVICE float unsigned_level(float code) {
  const float x = code * (1.0f / 255), square = x * x;
  return square * square;
}

SARA_HOST_DEVICE uint32_t position_bits(uint32_t position, uint32_t key) {
  uint32_t h = position * 0x9e3779b9u ^ key;
  h = (h ^ (h >> 16)) * 0x85ebca6bu;
  h = (h ^ (h >> 13)) * 0xc2b2ae35u;
  return h ^ (h >> 16);
}

SARA_HOST_DEVICE float draw_of(uint32_t sixteen_bits) { return (static_cast<float>(sixteen_bits) + 0.5f) * (1.0f / 65536); }

SARA_HOST_DEVICE int8_t signed_code(float x, float scale, uint32_t bits) {
  const float fraction = fabsf(x) / (scale > 0 ? scale : 1);
  const int below = static_cast<int>(sqrtf(fraction) * 127.0f);
  const float low = signed_level(static_cast<float>(below)), high = signed_level(static_cast<float>(below + 1));
  const int code = below + (draw_of(bits & 0xffffu) * (high - low) < fraction - low ? 1 : 0);
  return static_cast<int8_t>(x < 0 ? -code : code);
}

SARA_HOST_DEVICE uint8_t unsigned_code(float x, float scale, uint32_t bits) {
  const float fraction = x / (scale > 0 ? scale : 1);
  const int below = static_cast<int>(sqrtf(sqrtf(fraction)) * 255.0f);
  const float low = unsigned_level(static_cast<float>(below)), high = unsigned_level(static_cast<float>(below + 1));
  const int code = below + (draw_of(bits >> 16) * (high - low) < fraction - low ? 1 : 0);
  return static_cast<uint8_t>(fraction > 0 && code == 0 ? 1 : code);
}

}  // namespace sara::cuda
