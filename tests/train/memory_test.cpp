// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <torch/types.h>

#include "sara/train/live_bytes.h"
#include "sara/train/process_memory.h"

namespace sara {
namespace {

TEST(LiveBytes, CountsWhatIsAllocatedAndNotFreed) {
  const LiveBytes live;
  EXPECT_EQ(live.now(), 0);
  auto first = torch::empty({1000}, torch::kFloat);
  EXPECT_EQ(live.now(), 4000);
  {
    const auto second = torch::empty({10, 10}, torch::kDouble);
    EXPECT_EQ(live.now(), 4800);
  }
  EXPECT_EQ(live.now(), 4000);
  first.reset();
  EXPECT_EQ(live.now(), 0);
}

TEST(LiveBytes, SeesWhatAutogradKeeps) {
  const auto x = torch::ones({500}, torch::requires_grad());
  const LiveBytes live;
  auto loss = x.sin().exp().sum();  // keeps exp's result; x is older, sin's result is not needed
  EXPECT_GE(live.now(), 500 * 4);
  EXPECT_LT(live.now(), 3 * 500 * 4);
  loss.reset();
  EXPECT_EQ(live.now(), 0);
}

TEST(ProcessMemory, GrowsWithWhatIsTouchedAndThePeakStays) {
  constexpr int64_t kBytes = 64 << 20;
  const auto before = resident_bytes();
  EXPECT_GT(before, 1 << 20);
  {
    std::vector<char> block(kBytes, 1);
    EXPECT_GT(resident_bytes(), before + kBytes / 2 + block[7] - 1);
  }
  EXPECT_LT(resident_bytes(), before + kBytes / 2);
  EXPECT_GE(peak_resident_bytes(), before + kBytes / 2);
}

}  // namespace
}  // namespace sara
