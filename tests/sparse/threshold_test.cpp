// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/threshold.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <numeric>

#include "sara/base/error.h"
#include "sara/sparse/magnitude.h"

namespace sara {
namespace {

int64_t below(const NamedTensors& tensors, double threshold) {
  const auto counts = counts_below(tensors, threshold);
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

TEST(Threshold, ReadsCountsSharesAndUnits) {
  EXPECT_EQ(parse_budget("5000", 10000), 5000);
  EXPECT_EQ(parse_budget("5%", 1000), 50);
  EXPECT_EQ(parse_budget("0.5%", 1000), 5);
  EXPECT_EQ(parse_budget("1.5k", 10000), 1500);
  EXPECT_EQ(parse_budget("50M", 860000000), 50000000);
  EXPECT_EQ(parse_budget("100%", 7), 7);
}

TEST(Threshold, RefusesBudgetsThatMeanNothing) {
  for (const char* bad : {"", "many", "-5", "0", "5X", "5%%", "101%", "11", "1e400", "nan", "inf", "0x5", " 5", "5 "})
    EXPECT_THROW(parse_budget(bad, 10), InvalidArgument) << bad;
}

TEST(Threshold, GivesExactlyTheBudgetWhenMagnitudesDiffer) {
  const NamedTensors tensors = {{"a", torch::randn({1000})}, {"b", torch::randn({50, 60}).mul_(1e-3)}};
  for (const int64_t count : {1, 2, 999, 2000, 3999, 4000}) EXPECT_EQ(below(tensors, threshold_for_count(tensors, count)), count);
}

TEST(Threshold, TakesAllOfATieOrNone) {
  const NamedTensors tensors = {{"a", torch::tensor({0.1f, 0.2f, -0.2f, 0.2f, 0.3f})}};
  EXPECT_EQ(below(tensors, threshold_for_count(tensors, 2)), 1);  // 1 is nearer to 2 than 4 is
  EXPECT_EQ(below(tensors, threshold_for_count(tensors, 3)), 4);
  EXPECT_EQ(below(tensors, threshold_for_count(tensors, 4)), 4);
  const NamedTensors zeros = {{"a", torch::zeros({5})}};
  EXPECT_EQ(below(zeros, threshold_for_count(zeros, 1)), 5);  // rather than nothing
}

RC_GTEST_PROP(Threshold, MissesABudgetByLessThanTheTie, (std::vector<int8_t> numbers, uint32_t wanted)) {
  RC_PRE(!numbers.empty());
  const int64_t count = 1 + wanted % numbers.size();
  for (const auto dtype : {torch::kFloat, torch::kBFloat16, torch::kHalf}) {
    const torch::Tensor weights = torch::tensor(std::vector<int>(numbers.begin(), numbers.end())).to(torch::kFloat).div_(8).to(dtype);
    const NamedTensors tensors = {{"a", weights}};
    const int64_t reached = below(tensors, threshold_for_count(tensors, count));
    const torch::Tensor sorted = std::get<0>(weights.to(torch::kFloat).abs().sort());
    const float kth = sorted[count - 1].item<float>();
    const int64_t under = sorted.lt(kth).sum().item<int64_t>(), upto = sorted.le(kth).sum().item<int64_t>();
    RC_ASSERT(reached == under || reached == upto);
    RC_ASSERT(reached > 0);
    if (under > 0) RC_ASSERT(std::abs(reached - count) == std::min(count - under, upto - count));
  }
}

}  // namespace
}  // namespace sara
