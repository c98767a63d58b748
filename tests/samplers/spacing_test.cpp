// SPDX-License-Identifier: Apache-2.0
#include "sara/samplers/spacing.h"

#include <gtest/gtest.h>

#include "sara/base/error.h"

namespace sara {
namespace {

using Timesteps = std::vector<double>;

TEST(Spacing, EachKindAsOnPaper) {
  EXPECT_EQ(leading_timesteps(10, 5, 0), (Timesteps{8, 6, 4, 2, 0}));
  EXPECT_EQ(leading_timesteps(10, 5, 1), (Timesteps{9, 7, 5, 3, 1}));
  EXPECT_EQ(leading_timesteps(10, 3, 0), (Timesteps{6, 3, 0}));
  EXPECT_EQ(linspace_timesteps(11, 5), (Timesteps{10, 7.5, 5, 2.5, 0}));
  EXPECT_EQ(rounded(linspace_timesteps(11, 5)), (Timesteps{10, 8, 5, 2, 0}));  // halves to even
  EXPECT_EQ(linspace_timesteps(11, 1), Timesteps{0});
  EXPECT_EQ(trailing_timesteps(10, 5, 2), (Timesteps{9, 7, 5, 3, 1}));
  EXPECT_EQ(trailing_timesteps(10, 4, 2.5), (Timesteps{9, 7, 4, 1}));
  EXPECT_EQ(trailing_timesteps(10, 1, 10), Timesteps{9});
}

TEST(Spacing, TrailingGivesAsManyTimestepsAsStepsForEveryCount) {
  for (int64_t steps = 1; steps <= 1000; ++steps) {
    const auto timesteps = trailing_timesteps(1000, steps, 1000.0 / double(steps));
    ASSERT_EQ(int64_t(timesteps.size()), steps);
    ASSERT_EQ(timesteps.front(), 999);
    ASSERT_GE(timesteps.back(), 0) << steps;
  }
}

TEST(Spacing, StepsAndTimestepsOutsideTheTrainingRangeAreRefused) {
  EXPECT_NO_THROW(check_steps(1, 1000));
  EXPECT_NO_THROW(check_steps(1000, 1000));
  EXPECT_THROW(check_steps(0, 1000), InvalidArgument);
  EXPECT_THROW(check_steps(-3, 1000), InvalidArgument);
  EXPECT_THROW(check_steps(1001, 1000), InvalidArgument);
  EXPECT_NO_THROW(check_timesteps({999, 0}, 1000));
  try {
    check_timesteps(leading_timesteps(1000, 1000, 1), 1000);
    FAIL() << "timestep 1000 of 1000 was taken";
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("reach timestep 1000 (expected 0 to 999)"), std::string::npos);
  }
}

}  // namespace
}  // namespace sara
