// SPDX-License-Identifier: Apache-2.0
#include "sara/train/pretrain_options.h"

#include <gtest/gtest.h>

namespace sara {
namespace {

TEST(PretrainRate, RisesStaysAndFalls) {
  PretrainOptions options;
  options.learning_rate = 2;
  options.steps = 20;
  options.warmup_steps = 4;
  options.cooldown_steps = 5;
  const double expected[] = {0.5, 1, 1.5, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1.6, 1.2, 0.8, 0.4};
  for (int64_t step = 0; step < 20; ++step) EXPECT_DOUBLE_EQ(pretrain_rate(options, step), expected[step]) << step;
}

TEST(PretrainRate, IsConstantWithoutWarmUpAndCoolDown) {
  PretrainOptions options;
  options.warmup_steps = 0;
  for (int64_t step : {0, 1, 999}) EXPECT_EQ(pretrain_rate(options, step), options.learning_rate);
}

}  // namespace
}  // namespace sara
