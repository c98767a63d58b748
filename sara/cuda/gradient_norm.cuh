// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/cuda/launch.h"
#include "sara/cuda/numbers.cuh"
#include "sara/cuda/tree.cuh"

namespace sara::cuda {

// sums[block] = sum of the squares of the block's kChunk numbers, in fp64.
struct SquaresOfChunks {
  static constexpr int kThreads = 256, kChunk = 32 * kThreads, kSteps = steps_of(kThreads), kPhases = kSteps + 2;
  struct Shared {
    double sums[kThreads];
  };
  double* sums;
  const float* numbers;
  int64_t count;

  SARA_HOST_DEVICE void phase(int phase, Shared& shared, int64_t block, int thread) const {
    if (phase == 0) {
      const int64_t left = count - block * kChunk, end = block * kChunk + (left < kChunk ? left : kChunk);
      double sum = 0;
      for (int64_t i = block * kChunk + thread; i < end; i += kThreads) sum += static_cast<double>(numbers[i]) * numbers[i];
      shared.sums[thread] = sum;
    } else if (phase <= kSteps) {
      tree_step<kThreads>(shared.sums, phase - 1, thread);
    } else if (thread == 0) {
      sums[block] = shared.sums[0];
    }
  }
};

// result[0] = the root of the sum of `count` sums; result[1] = what brings a gradient of this norm down to max_norm (1 where it is not
// above, and for max_norm = 0); NaN for a norm that is not finite. One block.
struct NormAndClip {
  static constexpr int kThreads = 256, kSteps = steps_of(kThreads), kPhases = kSteps + 2;
  struct Shared {
    double sums[kThreads];
  };
  double* result;
  const double* sums;
  int64_t count;
  double max_norm;

  SARA_HOST_DEVICE void phase(int phase, Shared& shared, int64_t, int thread) const {
    if (phase == 0) {
      double sum = 0;
      for (int64_t i = thread; i < count; i += kThreads) sum += sums[i];
      shared.sums[thread] = sum;
    } else if (phase <= kSteps) {
      tree_step<kThreads>(shared.sums, phase - 1, thread);
    } else if (thread == 0) {
      const double norm = sqrt(shared.sums[0]);
      result[0] = norm;
      result[1] = norm - norm != 0 ? NAN : (max_norm > 0 && norm > max_norm ? max_norm / norm : 1);
    }
  }
};

}  // namespace sara::cuda
