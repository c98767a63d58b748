// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/vector_kernels.h"

#include <c10/util/Half.h>

#include <bit>
#include <cmath>

#if defined(__x86_64__) && defined(__ELF__) && defined(__GNUC__) && !defined(__clang__)
#define SARA_VECTOR_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SARA_VECTOR_CLONES
#endif

namespace sara {

SARA_VECTOR_CLONES
static void update_towards_zero(float* __restrict p, const float* __restrict g, float* __restrict m, float* __restrict v, int64_t count, const AdamWFactors& f) {
  const float keep = f.keep, blend1 = f.blend1, beta2 = f.beta2, blend2 = f.blend2, step_size = f.step_size, root = f.root, eps = f.eps, scale = f.scale;
  for (int64_t i = 0; i < count; ++i) {
    const float gradient = g[i] * scale;
    const float first = m[i] + blend1 * (gradient - m[i]), second = v[i] * beta2 + blend2 * gradient * gradient;
    m[i] = first;
    v[i] = second;
    p[i] = p[i] * keep - step_size * first / (std::sqrt(second) / root + eps);
  }
}

SARA_VECTOR_CLONES
static void update_towards_target(float* __restrict p, const float* __restrict g, float* __restrict m, float* __restrict v, const float* __restrict target,
                                  int64_t count, const AdamWFactors& f) {
  const float decay = f.decay, blend1 = f.blend1, beta2 = f.beta2, blend2 = f.blend2, step_size = f.step_size, root = f.root, eps = f.eps, scale = f.scale;
  for (int64_t i = 0; i < count; ++i) {
    const float gradient = g[i] * scale;
    const float first = m[i] + blend1 * (gradient - m[i]), second = v[i] * beta2 + blend2 * gradient * gradient;
    m[i] = first;
    v[i] = second;
    p[i] = p[i] - decay * (p[i] - target[i]) - step_size * first / (std::sqrt(second) / root + eps);
  }
}

void update_adamw(float* values, const float* gradient, float* exp_avg, float* exp_avg_sq, const float* target, int64_t count, const AdamWFactors& factors) {
  if (target)
    update_towards_target(values, gradient, exp_avg, exp_avg_sq, target, count, factors);
  else
    update_towards_zero(values, gradient, exp_avg, exp_avg_sq, count, factors);
}

SARA_VECTOR_CLONES
void round_to_bfloat16(const float* __restrict from, uint16_t* __restrict to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<uint32_t>(from[i]);
    const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    to[i] = static_cast<uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : rounded);  // a carry must not make NaN a number
  }
}

SARA_VECTOR_CLONES
void round_to_half(const float* __restrict from, uint16_t* __restrict to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = c10::detail::fp16_ieee_from_fp32_value(from[i]);
}

SARA_VECTOR_CLONES
void widen_bfloat16(const uint16_t* __restrict from, float* __restrict to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = std::bit_cast<float>(static_cast<uint32_t>(from[i]) << 16);
}

SARA_VECTOR_CLONES
void widen_half(const uint16_t* __restrict from, float* __restrict to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = c10::detail::fp16_ieee_to_fp32_value(from[i]);
}

SARA_VECTOR_CLONES
double sum_of_squares(const float* from, int64_t count) {
  constexpr int64_t kLanes = 16;
  double lanes[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      const double x = from[i + lane];
      lanes[lane] += x * x;
    }
  for (int64_t lane = 0; i < count; ++i, ++lane) lanes[lane] += static_cast<double>(from[i]) * from[i];
  for (int64_t width = kLanes / 2; width > 0; width /= 2)
    for (int64_t lane = 0; lane < width; ++lane) lanes[lane] += lanes[lane + width];
  return lanes[0];
}

// The fraction of the scale that a level stands for.
static inline float signed_level(float code) {
  const float x = code * (1.0f / 127);
  return x * std::fabs(x);
}

static inline float unsigned_level(float code) {
  const float x = code * (1.0f / 255), square = x * x;
  return square * square;
}

static inline uint32_t position_bits(uint32_t position, uint32_t key) {
  uint32_t h = position * 0x9e3779b9u ^ key;
  h = (h ^ (h >> 16)) * 0x85ebca6bu;
  h = (h ^ (h >> 13)) * 0xc2b2ae35u;
  return h ^ (h >> 16);
}

static inline float draw_of(uint32_t bits) { return (static_cast<float>(static_cast<int32_t>(bits)) + 0.5f) * (1.0f / 65536); }

// The order of magnitudes is that of their bits.
static inline float largest_magnitude(const float* from, int64_t count) {
  int32_t largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    const auto bits = static_cast<int32_t>(std::bit_cast<uint32_t>(from[i]) & 0x7fffffff);
    largest = bits > largest ? bits : largest;
  }
  return std::bit_cast<float>(largest);
}

SARA_VECTOR_CLONES
void widen_signed_codes(const int8_t* __restrict from, float scale, float* __restrict to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = signed_level(static_cast<float>(from[i])) * scale;
}

SARA_VECTOR_CLONES
void widen_unsigned_codes(const uint8_t* __restrict from, float scale, float* __restrict to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = unsigned_level(static_cast<float>(from[i])) * scale;
}

SARA_VECTOR_CLONES
float round_to_signed_codes(const float* __restrict from, int8_t* __restrict to, int64_t count, uint32_t first, uint32_t key) {
  const float scale = largest_magnitude(from, count), divisor = scale > 0 ? scale : 1;
  for (int64_t i = 0; i < count; ++i) {
    const float fraction = std::fabs(from[i]) / divisor;
    const auto below = static_cast<int32_t>(std::sqrt(fraction) * 127.0f);
    const float low = signed_level(static_cast<float>(below)), high = signed_level(static_cast<float>(below + 1));
    const float draw = draw_of(position_bits(first + static_cast<uint32_t>(i), key) & 0xffff);
    const int32_t code = below + (draw * (high - low) < fraction - low ? 1 : 0);
    to[i] = static_cast<int8_t>(from[i] < 0 ? -code : code);
  }
  return scale;
}

SARA_VECTOR_CLONES
float round_to_unsigned_codes(const float* __restrict from, uint8_t* __restrict to, int64_t count, uint32_t first, uint32_t key) {
  const float scale = largest_magnitude(from, count), divisor = scale > 0 ? scale : 1;
  for (int64_t i = 0; i < count; ++i) {
    const float fraction = from[i] / divisor;
    const auto below = static_cast<int32_t>(std::sqrt(std::sqrt(fraction)) * 255.0f);
    const float low = unsigned_level(static_cast<float>(below)), high = unsigned_level(static_cast<float>(below + 1));
    const float draw = draw_of(position_bits(first + static_cast<uint32_t>(i), key) >> 16);
    const int32_t code = below + (draw * (high - low) < fraction - low ? 1 : 0);
    to[i] = static_cast<uint8_t>(fraction > 0 && code == 0 ? 1 : code);
  }
  return scale;
}

}  // namespace sara
