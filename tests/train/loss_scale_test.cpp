// SPDX-License-Identifier: Apache-2.0
#include "sara/train/loss_scale.h"

#include <gtest/gtest.h>

namespace sara {
namespace {

TEST(LossScale, HalvesOnOverflowAndDoublesAfterTwoThousandGoodSteps) {
  LossScale scale;
  EXPECT_EQ(scale.scale(), 65536);
  scale.update(true);
  EXPECT_EQ(scale.scale(), 32768);
  for (int i = 0; i < 1999; ++i) scale.update(false);
  EXPECT_EQ(scale.scale(), 32768);
  scale.update(false);
  EXPECT_EQ(scale.scale(), 65536);
  EXPECT_EQ(scale.good_steps(), 0);
}

TEST(LossScale, CountsGoodStepsAnewAfterAnOverflow) {
  LossScale scale(4, 3);
  for (const bool overflowed : {false, false, true, false, false}) scale.update(overflowed);
  EXPECT_EQ(scale.scale(), 2);
  scale.update(false);
  EXPECT_EQ(scale.scale(), 4);
}

TEST(LossScale, DoesNotFallBelowOne) {
  LossScale scale(2);
  scale.update(true);
  EXPECT_FALSE(scale.can_fall());
  scale.update(true);
  EXPECT_EQ(scale.scale(), 1);
}

}  // namespace
}  // namespace sara
