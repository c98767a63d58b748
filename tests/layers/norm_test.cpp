// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/norm.h"

#include <gtest/gtest.h>

#include "sara/base/error.h"

namespace sara {
namespace {

TEST(GroupNorm, NormalisesEachGroupThenScalesEachChannel) {
  const torch::NoGradGuard no_grad;
  GroupNorm norm(2, 4, 0.0, torch::kFloat32);
  norm.weight.copy_(torch::tensor({1.0, 2.0, 1.0, 1.0}));
  norm.bias.copy_(torch::tensor({0.0, 0.0, 0.0, 5.0}));
  // Groups {1, 3} and {10, 30}: both become {-1, 1}.
  const auto y = norm.forward(torch::tensor({1.0f, 3.0f, 10.0f, 30.0f}).view({1, 4, 1, 1}));
  EXPECT_TRUE(y.flatten().allclose(torch::tensor({-1.0f, 2.0f, -1.0f, 6.0f})));
}

TEST(GroupNorm, EpsStandsInsideTheRoot) {
  const torch::NoGradGuard no_grad;
  GroupNorm norm(1, 2, 3.0, torch::kFloat32);
  norm.weight.fill_(1);
  norm.bias.fill_(0);
  const auto y = norm.forward(torch::tensor({1.0f, 3.0f}).view({1, 2, 1, 1}));  // variance 1
  EXPECT_TRUE(y.flatten().allclose(torch::tensor({-0.5f, 0.5f})));
}

TEST(GroupNorm, GroupsThatDoNotDivideTheChannelsAreRefusedByName) {
  try {
    GroupNorm norm(3, 4, 1e-5, torch::kFloat32);
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("norm_num_groups 3 does not divide 4 channels"), std::string::npos);
  }
}

TEST(LayerNorm, NormalisesTheLastDimension) {
  const torch::NoGradGuard no_grad;
  LayerNorm norm(2, 0.0, torch::kFloat32);
  norm.weight.copy_(torch::tensor({1.0, 3.0}));
  norm.bias.copy_(torch::tensor({0.0, 1.0}));
  const auto y = norm.forward(torch::tensor({{0.0f, 8.0f}, {5.0f, 3.0f}}));
  EXPECT_TRUE(y.allclose(torch::tensor({{-1.0f, 4.0f}, {1.0f, -2.0f}})));
}

TEST(LayerNorm, OfHalfPrecisionStaysHalf) {
  LayerNorm norm(2, 1e-5, torch::kBFloat16);
  EXPECT_EQ(norm.forward(torch::ones({1, 2}, torch::kBFloat16)).scalar_type(), torch::kBFloat16);
}

}  // namespace
}  // namespace sara
