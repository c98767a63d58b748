// SPDX-License-Identifier: Apache-2.0
// The emulated grid must show the mistakes that it is there for.
#include "sara/cuda/emulation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "sara/cuda/tree.cuh"

namespace sara::cuda {
namespace {

// Adds up the numbers of each block of 8; kBarriers = false reads what other threads write in the same phase.
template <bool kBarriers>
struct BlockSums {
  static constexpr int kThreads = 8, kSteps = steps_of(kThreads), kPhases = kBarriers ? kSteps + 2 : 2;
  struct Shared {
    float sums[kThreads];
  };
  float* out;
  const float* in;
  void phase(int phase, Shared& shared, int64_t block, int thread) const {
    if (phase == 0) {
      shared.sums[thread] = in[block * kThreads + thread];
    } else if (kBarriers && phase <= kSteps) {
      tree_step<kThreads>(shared.sums, phase - 1, thread);
    } else {
      for (int step = 0; !kBarriers && step < kSteps; ++step) tree_step<kThreads>(shared.sums, step, thread);
      if (thread == 0) out[block] = shared.sums[0];
    }
  }
};

struct ReadsUnwritten {
  static constexpr int kThreads = 4, kPhases = 1;
  struct Shared {
    float number;
  };
  float* out;
  void phase(int, Shared& shared, int64_t, int) const { *out = shared.number; }
};

template <class Kernel>
std::vector<float> run(bool backwards) {
  std::vector<float> in(24), out(3);
  std::iota(in.begin(), in.end(), 0.0f);
  emulation().backwards = backwards;
  emulate(Kernel{out.data(), in.data()}, 3);
  emulation().backwards = false;
  return out;
}

TEST(EmulatedGrid, RunsEveryThreadOfEveryBlockInEitherDirection) {
  const std::vector<float> sums{28, 92, 156};
  EXPECT_EQ(run<BlockSums<true>>(false), sums);
  EXPECT_EQ(run<BlockSums<true>>(true), sums);
}

TEST(EmulatedGrid, AMissingBarrierGivesOtherNumbersBackwards) { EXPECT_NE(run<BlockSums<false>>(false), run<BlockSums<false>>(true)); }

TEST(EmulatedGrid, SharedMemoryThatNobodyWroteIsNaN) {
  float out = 0;
  emulate(ReadsUnwritten{&out}, 1);
  EXPECT_TRUE(std::isnan(out));
}

}  // namespace
}  // namespace sara::cuda
