// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/magnitude.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>

#include "sara/base/error.h"

namespace sara {
namespace {

std::vector<int64_t> positions(const torch::Tensor& indices) {
  const torch::Tensor wide = indices.to(torch::kLong);
  return {wide.const_data_ptr<int64_t>(), wide.const_data_ptr<int64_t>() + wide.numel()};
}

TEST(Magnitude, SelectsStrictlyBelowOnTheStoredValue) {
  const torch::Tensor weights = torch::tensor({0.5f, -0.25f, 0.25f, 0.0f, -0.0f, -0.24f});
  EXPECT_EQ(positions(indices_below(weights, 0.25)), (std::vector<int64_t>{3, 4, 5}));
  EXPECT_EQ(positions(indices_below(weights, 0.3)), (std::vector<int64_t>{1, 2, 3, 4, 5}));
  EXPECT_EQ(indices_below(weights, 0.25).scalar_type(), torch::kInt);
}

TEST(Magnitude, ComparesWithTheThresholdItselfNotItsFp32Neighbour) {
  const float stored = 0.7f;  // 0.69999999: below 0.7, though the same fp32 number
  ASSERT_LT(static_cast<double>(stored), 0.7);
  EXPECT_EQ(indices_below(torch::tensor({stored}), 0.7).numel(), 1);
  EXPECT_EQ(indices_below(torch::tensor({stored}), static_cast<double>(stored)).numel(), 0);
  const float above = 0.1f;  // 0.100000001
  EXPECT_EQ(indices_below(torch::tensor({above}), 0.1).numel(), 0);
}

TEST(Magnitude, SeesTheExactHalfPrecisionNumbers) {
  for (const auto dtype : {torch::kBFloat16, torch::kHalf}) {
    const torch::Tensor weights = torch::randn({4097}).mul_(1e-2).to(dtype);
    const double threshold = weights[17].to(torch::kFloat).abs().item<double>();
    const torch::Tensor expected = weights.to(torch::kDouble).abs().lt(threshold).nonzero().view(-1);
    EXPECT_TRUE(indices_below(weights, threshold).to(torch::kLong).equal(expected));
  }
}

TEST(Magnitude, PositionsAreThoseOfTheContiguousTensorWhateverTheStrides) {
  const torch::Tensor plain = torch::randn({4, 3, 5, 5});
  const torch::Tensor last = plain.contiguous(at::MemoryFormat::ChannelsLast);
  ASSERT_FALSE(last.is_contiguous());
  EXPECT_TRUE(indices_below(last, 0.5).equal(indices_below(plain, 0.5)));
}

TEST(Magnitude, IsTheSameAtEveryThreadCount) {
  const torch::Tensor weights = torch::randn({300001});
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const torch::Tensor one = indices_below(weights, 0.1);
  at::set_num_threads(3);
  const torch::Tensor three = indices_below(weights, 0.1);
  at::set_num_threads(threads);
  EXPECT_TRUE(one.equal(three));
  EXPECT_TRUE(one.to(torch::kLong).equal(weights.abs().lt(0.1).nonzero().view(-1)));
}

TEST(Magnitude, NamesTheTensorWithNanOrInfiniteWeights) {
  torch::Tensor bad = torch::zeros({10});
  bad[3] = NAN;
  bad[4] = -INFINITY;
  try {
    counts_below({{"good", torch::zeros({2})}, {"unet.bad.weight", bad}}, 0.1);
    FAIL();
  } catch (const BadFile& error) {
    EXPECT_STREQ(error.what(), "unet.bad.weight: 2 of 10 weights are NaN or infinite. Fix: use an intact base model");
  }
}

TEST(Magnitude, RefusesAThresholdThatIsNotPositive) {
  for (const double bad : {0.0, -1.0, static_cast<double>(NAN)}) EXPECT_THROW(magnitude_limit(bad), InvalidArgument);
}

}  // namespace
}  // namespace sara
