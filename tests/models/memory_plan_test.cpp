// SPDX-License-Identifier: Apache-2.0
#include "sara/models/memory_plan.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "sara/base/error.h"
#include "sara/models/config.h"
#include "sara/models/unet.h"

namespace sara {
namespace {

constexpr MemoryLevel kAll[] = {MemoryLevel::n0, MemoryLevel::n1, MemoryLevel::n2, MemoryLevel::checkpoint};

TEST(MemoryPlan, EachLevelKeepsLessAndAllGrowWithTheBatch) {
  const PassSize size{1, 32, 32, 77, 4};
  int64_t before = kept_bytes(sd15(), size, MemoryLevel::n0) + 1;
  for (const MemoryLevel level : kAll) {
    const int64_t kept = kept_bytes(sd15(), size, level);
    EXPECT_LT(kept, before);
    EXPECT_EQ(kept_bytes(sd15(), {4, 32, 32, 77, 4}, level), 4 * kept);
    before = kept;
  }
}

TEST(MemoryPlan, TheFastestLevelThatFitsIsTaken) {
  const PassSize size{2, 32, 32, 77, 2};
  const UNet2DConditionModel unet(sd15(), torch::dtype(torch::kBFloat16).device(torch::kMeta));
  for (const MemoryLevel level : kAll) EXPECT_EQ(fitting_memory_level(unet, size, unet.kept_bytes(size, level)), level);
  EXPECT_EQ(fitting_memory_level(unet, size, 0), MemoryLevel::checkpoint);
}

TEST(MemoryPlan, NamesGoBothWaysAndOthersAreRefused) {
  for (const MemoryLevel level : kAll) EXPECT_EQ(memory_level(memory_level_name(level)), level);
  EXPECT_THROW(memory_level("N3"), InvalidArgument);
}

}  // namespace
}  // namespace sara
