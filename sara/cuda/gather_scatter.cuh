// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/cuda/launch.h"
#include "sara/cuda/numbers.cuh"

namespace sara::cuda {

// out[k] += dense[indices[k]]
template <class Dense, class Index>
struct GatherAdd {
  static constexpr int kThreads = 256, kPhases = 1;
  struct Shared {};
  float* out;
  const Dense* dense;
  const Index* indices;
  int64_t count;

  SARA_HOST_DEVICE void phase(int, Shared&, int64_t block, int thread) const {
    const int64_t k = block * kThreads + thread;
    if (k < count) out[k] += to_float(dense[indices[k]]);
  }
};

// dense[indices[k]] = compact[k], rounded; bits are copied where both types are the same.
template <class Dense, class Compact, class Index>
struct Scatter {
  static constexpr int kThreads = 256, kPhases = 1;
  struct Shared {};
  Dense* dense;
  const Index* indices;
  const Compact* compact;
  int64_t count;

  SARA_HOST_DEVICE static void write(Dense* at, float value) { store(at, value); }
  SARA_HOST_DEVICE static void write(BFloat16* at, BFloat16 value) { *at = value; }
  SARA_HOST_DEVICE static void write(Half* at, Half value) { *at = value; }

  SARA_HOST_DEVICE void phase(int, Shared&, int64_t block, int thread) const {
    const int64_t k = block * kThreads + thread;
    if (k < count) write(dense + indices[k], compact[k]);
  }
};

}  // namespace sara::cuda
