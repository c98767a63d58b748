// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/sampled_entries.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include "sara/sparse/selection.h"
#include "sara/sparse/values.h"

namespace sara {
namespace {

// Rows 0 and 2 of three have entries: at columns 1, 6, 7 and at column 3 of eight.
struct SampledEntriesTest : testing::Test {
  torch::Tensor indices = torch::tensor({1, 6, 7, 19}, torch::kInt), row_starts = torch::tensor({0, 3, 3, 4}, torch::kLong);
  std::shared_ptr<const SampledEntries> kept;
  ColumnCut halves{8, 1, 1, 2};
};

TEST_F(SampledEntriesTest, LieInBlocksOfNeighbouringColumns) {
  const auto entries = SampledEntries::of({indices, row_starts}, halves);
  ASSERT_EQ(entries->blocks(), 2);
  EXPECT_EQ(entries->column(1), 4);
  EXPECT_EQ(entries->first(0, 0), 0);
  EXPECT_EQ(entries->first(0, 1), 1);
  EXPECT_EQ(entries->first(0, 2), 3);
  EXPECT_EQ(entries->first(2, 1), 4);
  EXPECT_EQ(std::vector<int32_t>(entries->rows_of(0, {0, 3}).begin(), entries->rows_of(0, {0, 3}).end()), (std::vector<int32_t>{0, 2}));
  EXPECT_EQ(std::vector<int32_t>(entries->rows_of(1, {0, 3}).begin(), entries->rows_of(1, {0, 3}).end()), (std::vector<int32_t>{0}));
  EXPECT_EQ(entries->first_row(0, 2), 0);
  EXPECT_EQ(entries->first_row(2, 2), 3);
}

TEST_F(SampledEntriesTest, AreKeptForTheSamePositionsAndCut) {
  const auto first = SampledEntries::of({indices, row_starts, &kept}, halves);
  EXPECT_EQ(first, kept);
  EXPECT_EQ(SampledEntries::of({indices, row_starts, &kept}, halves), first);
}

TEST_F(SampledEntriesTest, AreMadeAgainForAnotherCutOrOtherPositions) {
  const auto first = SampledEntries::of({indices, row_starts, &kept}, halves);
  const auto quarters = SampledEntries::of({indices, row_starts, &kept}, {8, 1, 1, 4});
  EXPECT_NE(quarters, first);
  EXPECT_EQ(quarters->blocks(), 4);
  const torch::Tensor moved = torch::tensor({1, 2, 7, 19}, torch::kInt);  // as many in each row
  EXPECT_EQ(SampledEntries::of({moved, row_starts, &kept}, {8, 1, 1, 4})->first(0, 2), 2);
  const torch::Tensor others = indices.narrow(0, 0, 3), other_starts = torch::tensor({0, 3, 3, 3}, torch::kLong);
  const auto fewer = SampledEntries::of({others, other_starts, &kept}, {8, 1, 1, 4});
  EXPECT_EQ(fewer->first(2, 4), 3);
  EXPECT_EQ(fewer, kept);
}

TEST(SampledEntries, AreForgottenWhenTheMaskChanges) {
  const torch::Tensor weight = torch::linspace(0, 0.7, 16 * 12).view({16, 12});
  Values values(select({{"weight", weight}}, {.threshold = 0.3}).mask);
  const auto& slot = values.slots().front();
  SampledEntries::of({slot.indices, slot.row_starts, &slot.entries}, {12, 1, 1});
  EXPECT_NE(slot.entries, nullptr);
  const int64_t before = values.active();
  values.values().narrow(0, 5, 40).fill_(1);
  values.reselect_(0.3);
  EXPECT_EQ(values.slots().front().entries, nullptr);
  EXPECT_EQ(values.active(), before - 40);
}

}  // namespace
}  // namespace sara
