// SPDX-License-Identifier: Apache-2.0
#include "sara/data/batches.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>

#include "sara/base/error.h"
#include "tests/data/folder.h"

namespace sara {
namespace {

RC_GTEST_PROP(Batches, EveryEpochHoldsEverySampleOnce, ()) {
  const auto samples = *rc::gen::inRange<int64_t>(1, 40), batch_size = *rc::gen::inRange<int64_t>(1, 50);
  const auto seed = *rc::gen::arbitrary<uint64_t>();
  const BatchOrder order(samples, batch_size, seed);
  std::vector<BatchOrder::Draw> line;
  for (int64_t step = 0; static_cast<int64_t>(line.size()) < 3 * samples; ++step)
    for (const auto& draw : order.draws(step)) line.push_back(draw);
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<int64_t> seen;
    for (int64_t i = 0; i < samples; ++i) {
      const auto& draw = line[static_cast<size_t>(epoch * samples + i)];
      RC_ASSERT(draw.epoch == epoch);
      seen.push_back(draw.sample);
    }
    std::sort(seen.begin(), seen.end());
    for (int64_t i = 0; i < samples; ++i) RC_ASSERT(seen[static_cast<size_t>(i)] == i);
  }
}

RC_GTEST_PROP(Batches, ABatchDependsOnTheStepAlone, ()) {
  const auto samples = *rc::gen::inRange<int64_t>(1, 40), batch_size = *rc::gen::inRange<int64_t>(1, 50);
  const auto step = *rc::gen::inRange<int64_t>(0, 1000);
  const auto seed = *rc::gen::arbitrary<uint64_t>();
  const BatchOrder walked(samples, batch_size, seed), jumped(samples, batch_size, seed);
  for (int64_t before = std::max<int64_t>(0, step - 3); before < step; ++before) walked.draws(before);
  RC_ASSERT(walked.draws(step) == jumped.draws(step));
}

TEST(Batches, TheLastBatchOfAnEpochGoesOnIntoTheNext) {
  const BatchOrder order(5, 3, 1);
  EXPECT_EQ(order.position(0), (BatchOrder::Position{0, 0}));
  EXPECT_EQ(order.position(1), (BatchOrder::Position{0, 3}));
  EXPECT_EQ(order.position(2), (BatchOrder::Position{1, 1}));
  EXPECT_EQ(order.position(5), (BatchOrder::Position{3, 0}));
  const auto draws = order.draws(1);
  EXPECT_EQ(draws[1].epoch, 0);
  EXPECT_EQ(draws[2].epoch, 1);
  EXPECT_EQ(order.batch(1), (std::vector<int64_t>{draws[0].sample, draws[1].sample, draws[2].sample}));
  EXPECT_EQ(order.steps_per_epoch(), 2);
}

TEST(Batches, ABatchLargerThanTheFolderSpansEpochs) {
  const BatchOrder order(2, 5, 9);
  const auto draws = order.draws(0);
  ASSERT_EQ(draws.size(), 5u);
  EXPECT_EQ(draws[4].epoch, 2);
  EXPECT_EQ(order.position(1), (BatchOrder::Position{2, 1}));
}

TEST(Batches, EpochsAndSeedsAreShuffledDifferently) {
  const BatchOrder order(50, 50, 3), other(50, 50, 4);
  EXPECT_NE(order.batch(0), order.batch(1));
  EXPECT_NE(order.batch(0), other.batch(0));
}

TEST(Batches, TheOrderIsPinnedSoThatOldRunsCanBeRepeated) {
  EXPECT_EQ(BatchOrder(8, 8, 42).batch(0), (std::vector<int64_t>{7, 3, 0, 5, 6, 4, 1, 2}));
}

TEST(Batches, CountsBelowOneAreRefused) {
  thrown<InvalidArgument>([] { BatchOrder(0, 1, 0); });
  thrown<InvalidArgument>([] { BatchOrder(1, 0, 0); });
}

}  // namespace
}  // namespace sara
