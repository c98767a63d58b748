// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/channel_sums.h"

#include <gtest/gtest.h>
#include <torch/types.h>

namespace sara {
namespace {

// Next to the sum in fp64; at most the rounding of runs of 64 numbers in fp32, in units of the sum of magnitudes.
void expect_sum(const torch::Tensor& got, const torch::Tensor& numbers, at::IntArrayRef dimensions) {
  ASSERT_EQ(got.scalar_type(), torch::kFloat);
  const torch::Tensor wide = numbers.to(torch::kDouble), expected = wide.sum(dimensions), magnitude = wide.abs().sum(dimensions);
  ASSERT_EQ(got.sizes(), expected.sizes());
  EXPECT_LE(((got - expected).abs() / magnitude.clamp_min(1e-30)).max().item<double>(), 2e-6) << numbers.sizes() << ' ' << numbers.scalar_type();
}

constexpr at::ScalarType kTypes[] = {torch::kFloat, torch::kBFloat16, torch::kHalf};

TEST(ChannelSums, OfTokensAreTheSumsInFp64) {
  torch::manual_seed(0);
  for (const auto dtype : kTypes)
    for (const auto& [tokens, channels] : {std::pair<int64_t, int64_t>{1, 1}, {77, 320}, {64, 64}, {4096, 130}, {65, 7}}) {
      const torch::Tensor numbers = (torch::randn({tokens, channels}) + 0.5).to(dtype);
      expect_sum(sum_over_tokens(numbers), numbers, 0);
    }
  const torch::Tensor pictures = torch::randn({3, 50, 20});
  expect_sum(sum_over_tokens(pictures), pictures.flatten(0, 1), 0);
  const torch::Tensor turned = torch::randn({20, 50}).t();
  expect_sum(sum_over_tokens(turned), turned, 0);
}

TEST(ChannelSums, OfPositionsAreTheSumsInFp64) {
  torch::manual_seed(0);
  for (const auto dtype : kTypes)
    for (const auto& sizes : {std::vector<int64_t>{1, 1, 1, 1}, {2, 5, 7, 9}, {3, 70, 32, 32}, {2, 3, 64, 65}}) {
      const torch::Tensor numbers = (torch::randn(sizes) + 0.5).to(dtype);
      expect_sum(sum_over_positions(numbers), numbers, {2, 3});
    }
  const torch::Tensor last = torch::randn({2, 8, 8, 6}).permute({0, 3, 1, 2});
  expect_sum(sum_over_positions(last), last, {2, 3});
}

}  // namespace
}  // namespace sara
