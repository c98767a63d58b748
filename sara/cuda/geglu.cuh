// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/cuda/launch.h"
#include "sara/cuda/numbers.cuh"

namespace sara::cuda {

// The gate of ops/geglu.h, a · gelu(g) with gelu(g) = g Φ(g). halves [tokens, 2 width] = [a, g]. A block takes kPiece channels of one token.
constexpr int kGateThreads = 256, kGatePiece = 4 * kGateThreads;

SARA_HOST_DEVICE float cumulative(float x) { return 0.5f * erfcf(-x * 0.70710678118654752f); }  // Φ
SARA_HOST_DEVICE float density(float x) { return 0.39894228040143268f * expf(-0.5f * x * x); }  // φ

template <class T>
struct Geglu {
  static constexpr int kThreads = kGateThreads, kPhases = 1;
  struct Shared {};
  T* out;
  const T* halves;
  int64_t width;

  SARA_HOST_DEVICE static int64_t blocks_across(int64_t width) { return (width + kGatePiece - 1) / kGatePiece; }

  SARA_HOST_DEVICE void phase(int, Shared&, int64_t block, int thread) const {
    const int64_t token = block / blocks_across(width), begin = block % blocks_across(width) * kGatePiece;
    const T *a = halves + 2 * token * width, *g = a + width;
    for (int64_t c = begin + thread; c < begin + kGatePiece && c < width; c += kThreads) {
      const float x = to_float(g[c]);
      store(out + token * width + c, to_float(a[c]) * (x * cumulative(x)));
    }
  }
};

// Both halves' gradients, and the product again.
template <class T>
struct GegluBackward {
  static constexpr int kThreads = kGateThreads, kPhases = 1;
  struct Shared {};
  T *out, *product;
  const T *gradient, *halves;
  int64_t width;

  SARA_HOST_DEVICE void phase(int, Shared&, int64_t block, int thread) const {
    const int64_t token = block / Geglu<T>::blocks_across(width), begin = block % Geglu<T>::blocks_across(width) * kGatePiece;
    const int64_t at = 2 * token * width;
    for (int64_t c = begin + thread; c < begin + kGatePiece && c < width; c += kThreads) {
      const float a = to_float(halves[at + c]), x = to_float(halves[at + width + c]), given = to_float(gradient[token * width + c]);
      const float below = cumulative(x), gelu = x * below;
      store(out + at + c, given * gelu);
      store(out + at + width + c, given * a * (below + x * density(x)));
      store(product + token * width + c, a * gelu);
    }
  }
};

}  // namespace sara::cuda
