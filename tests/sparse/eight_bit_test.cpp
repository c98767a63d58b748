// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/eight_bit.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

namespace sara {
namespace {

TEST(EightBit, HoldsItsOwnLevelsExactly) {
  const EightBit first{torch::arange(-127, 128).to(torch::kChar), torch::tensor({3.0f})};
  const EightBit second{torch::arange(0, 256).to(torch::kByte), torch::tensor({1e-12f})};
  for (const EightBit& levels : {first, second}) {
    const EightBit again = to_eight_bit(from_eight_bit(levels), levels.codes.scalar_type() == torch::kChar);
    EXPECT_TRUE(again.codes.equal(levels.codes));
    EXPECT_TRUE(again.scales.equal(levels.scales));
  }
  const torch::Tensor by_hand = from_eight_bit({torch::tensor({-127, 0, 1, 64}).to(torch::kChar), torch::tensor({2.0f})});
  EXPECT_TRUE(by_hand.allclose(torch::tensor({-2.0, 0.0, 2.0 / (127 * 127), 2.0 * 64 * 64 / (127 * 127)}).to(torch::kFloat), 1e-6, 0));
}

TEST(EightBit, RoundsToTheNearestLevelOfItsOwnBlock) {
  const torch::Tensor x = torch::randn({1000});
  const torch::Tensor back = from_eight_bit(to_eight_bit(x, true));
  for (int64_t begin = 0; begin < 1000; begin += kMomentBlock) {
    const int64_t size = std::min<int64_t>(kMomentBlock, 1000 - begin);
    const torch::Tensor block = x.narrow(0, begin, size), largest = block.abs().max();
    const torch::Tensor half_step = (block.abs() / largest).sqrt() / 127 * largest + largest / (127 * 127);  // half of the distance of two levels there, at most
    EXPECT_TRUE((back.narrow(0, begin, size) - block).abs().le(half_step).all().item<bool>());
  }
  EXPECT_LT((from_eight_bit(to_eight_bit(x.square(), false)).sqrt() / x.abs() - 1).abs().median().item<float>(), 0.005f);
}

TEST(EightBit, KeepsTheExpectationOfWhatLiesBetweenLevels) {
  for (const bool is_signed : {true, false})
    for (const float number : {0.9993f, 0.37f, 2.3e-3f}) {
      torch::Tensor x = torch::full({256 * 400}, number);
      x.view({-1, 256}).select(1, 0).fill_(1);
      const torch::Tensor mean = from_eight_bit(to_eight_bit(x, is_signed, 7, moment_key(3))).view({-1, 256}).narrow(1, 1, 255).to(torch::kDouble).mean();
      EXPECT_NEAR(mean.item<double>() / number, 1, 2e-3) << number;
    }
  const torch::Tensor x = torch::rand({500});
  EXPECT_FALSE(to_eight_bit(x, true, 0, moment_key(1)).codes.equal(to_eight_bit(x, true, 0, moment_key(2)).codes));
}

TEST(EightBit, ZeroStaysZeroAndASecondMomentAboveZeroNeverBecomesIt) {
  torch::Tensor x = torch::zeros({600});
  x[0] = 1;
  x[1] = 1e-20;
  const torch::Tensor back = from_eight_bit(to_eight_bit(x, false, 0, moment_key(1)));
  EXPECT_EQ(back[0].item<float>(), 1);
  EXPECT_GT(back[1].item<float>(), 0);
  EXPECT_LT(back[1].item<float>(), 3e-10f);
  EXPECT_EQ(back.narrow(0, 2, 598).abs().max().item<float>(), 0);
  EXPECT_EQ(from_eight_bit(to_eight_bit(torch::zeros({3}), true)).abs().max().item<float>(), 0);
  EXPECT_EQ(from_eight_bit(to_eight_bit(torch::empty({0}), true)).numel(), 0);
}

}  // namespace
}  // namespace sara
