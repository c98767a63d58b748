// SPDX-License-Identifier: Apache-2.0
#include "sara/base/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

namespace sara {
namespace {

TEST(StreamKey, EachPartOfTheKeyMatters) {
  std::set<uint64_t> keys;
  for (uint64_t seed : {0, 1})
    for (const char* stream : {"noise", "flip"})
      for (uint64_t a : {0, 1})
        for (uint64_t b : {0, 1}) keys.insert(stream_key(seed, stream, a, b));
  EXPECT_EQ(keys.size(), 16u);
  EXPECT_EQ(stream_key(3, "noise", 1, 2), stream_key(3, "noise", 1, 2));
}

TEST(RandomStream, EqualKeysDrawEqualNumbersWhateverElseIsDrawn) {
  RandomStream first(7, "noise", 4), again(7, "noise", 4), other(7, "flip", 4);
  std::vector<uint64_t> a, b;
  for (int i = 0; i < 20; ++i) a.push_back(first.next());
  for (int i = 0; i < 20; ++i) {
    other.next();
    b.push_back(again.next());
  }
  EXPECT_EQ(a, b);
}

TEST(RandomStream, StreamsOfNeighbouringKeysDoNotResembleEachOther) {
  for (const auto& [left, right] : {std::pair{RandomStream(1, "a", 0), RandomStream(1, "a", 1)}, {RandomStream(1, "a"), RandomStream(2, "a")}}) {
    RandomStream x = left, y = right;
    double product = 0;
    for (int i = 0; i < 10000; ++i) product += (x.uniform() - 0.5) * (y.uniform() - 0.5);
    EXPECT_LT(std::abs(product / 10000), 5.0 / 12 / std::sqrt(10000.0));  // five standard deviations of the mean
  }
}

TEST(RandomStream, BelowIsUniformAtSmallLimits) {
  for (uint64_t limit : {1, 2, 3, 5, 6, 7}) {
    RandomStream stream(11, "below", limit);
    std::vector<double> count(limit);
    constexpr int kDraws = 60000;
    for (int i = 0; i < kDraws; ++i) {
      const auto draw = stream.below(limit);
      ASSERT_LT(draw, limit);
      ++count[draw];
    }
    double chi = 0;
    const double expected = double(kDraws) / double(limit);
    for (const double n : count) chi += (n - expected) * (n - expected) / expected;
    EXPECT_LT(chi, 30) << limit;  // at most 6 degrees of freedom: exceeded once in 25,000
  }
}

TEST(RandomStream, BelowReachesBeyond32Bits) {
  RandomStream stream(1, "large");
  uint64_t most = 0;
  for (int i = 0; i < 100; ++i) most = std::max(most, stream.below(uint64_t(1) << 63));
  EXPECT_GT(most, uint64_t(1) << 60);
}

TEST(RandomStream, UniformLiesInTheHalfOpenUnitIntervalWithMeanOneHalf) {
  RandomStream stream(1, "uniform");
  double sum = 0;
  for (int i = 0; i < 20000; ++i) {
    const double draw = stream.uniform();
    ASSERT_GE(draw, 0);
    ASSERT_LT(draw, 1);
    sum += draw;
  }
  EXPECT_NEAR(sum / 20000, 0.5, 0.011);
}

TEST(Permutation, HoldsEveryNumberOnce) {
  for (int64_t count : {0, 1, 2, 3, 50}) {
    auto order = permutation(count, 9);
    std::sort(order.begin(), order.end());
    std::vector<int64_t> all(count);
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(order, all);
  }
}

TEST(Permutation, EveryOrderOfThreeIsAboutAsLikely) {
  std::map<std::vector<int64_t>, int> count;
  for (uint64_t key = 0; key < 6000; ++key) ++count[permutation(3, stream_key(key, "order"))];
  EXPECT_EQ(count.size(), 6u);
  for (const auto& [order, times] : count) EXPECT_NEAR(times, 1000, 150);
}

TEST(Permutation, DependsOnTheKeyAlone) {
  EXPECT_EQ(permutation(100, 5), permutation(100, 5));
  EXPECT_NE(permutation(100, 5), permutation(100, 6));
}

}  // namespace
}  // namespace sara
