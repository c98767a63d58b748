// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/token_groups.h"

#include <gtest/gtest.h>

#include <limits>
#include <torch/types.h>

namespace sara {
namespace {

TEST(TokenGroups, HoldEveryTokenOnceInWholeBlocks) {
  for (const int64_t tokens : {0, 1, 31, 64, 127, 128, 129, 256, 308, 1000, 1024, 4096, 100003}) {
    const TokenGroups groups(tokens, 256);
    EXPECT_GE(groups.count, tokens >= 2 * TokenGroups::kLeast ? 2 : 1) << tokens;
    EXPECT_LE(groups.count, TokenGroups::kMost) << tokens;
    EXPECT_LE(groups.piece, 256) << tokens;
    EXPECT_EQ(groups.piece % TokenGroups::kStep, 0) << tokens;
    int64_t next = 0;
    for (int64_t index = 0; index < groups.count; ++index) {
      const Range group = groups.group(index);
      EXPECT_EQ(group.begin, next) << tokens;
      EXPECT_EQ(group.begin % TokenGroups::kStep, 0) << tokens;
      EXPECT_TRUE(index + 1 < groups.count ? group.size() == groups.size : group.size() <= groups.size) << tokens;
      EXPECT_TRUE(tokens == 0 || group.size() > 0) << tokens;
      next = group.end;
    }
    EXPECT_EQ(next, tokens);
  }
}

TEST(TokenGroups, AddsTheirSumsInOrder) {
  const torch::Tensor more = torch::randn({5, 10007}), out = torch::randn({10007});
  torch::Tensor expected = out.clone();
  const GroupSums sums(out.data_ptr<float>(), 10007, 5);
  for (int64_t group = 0; group < 5; ++group) {
    expected += more[group];
    std::fill_n(sums.of(group), 10007, std::numeric_limits<float>::quiet_NaN());  // what memory may hold
    sums.clear(group);
    for (int64_t i = 0; i < 10007; ++i) sums.of(group)[i] += more.const_data_ptr<float>()[group * 10007 + i];
  }
  sums.finish();
  EXPECT_TRUE(out.equal(expected));
}

TEST(TokenGroups, OfOneAreAddedWhereTheyAreWanted) {
  const torch::Tensor out = torch::full({3}, 2.0f);
  const GroupSums sums(out.data_ptr<float>(), 3, 1), none(nullptr, 3, 4);
  sums.clear(0);
  sums.of(0)[1] += 5;
  sums.finish();
  none.clear(2);
  none.finish();
  EXPECT_EQ(none.of(2), nullptr);
  EXPECT_TRUE(out.equal(torch::tensor({2.0f, 7.0f, 2.0f})));
}

}  // namespace
}  // namespace sara
