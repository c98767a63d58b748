// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/resnet.h"

#include <gtest/gtest.h>

#include "sara/layers/resample.h"

namespace sara {
namespace {

void fill(torch::nn::Module& module, const std::string& part, double value) {
  const torch::NoGradGuard no_grad;
  for (auto& item : module.named_parameters())
    if (item.key().find(part) != std::string::npos) item.value().fill_(value);
}

TEST(ResnetBlock, WithAZeroSecondConvolutionIsTheIdentity) {
  ResnetBlock block({.in = 4, .out = 4, .norm_groups = 2}, torch::kFloat32);
  fill(block, "", 0.3);
  fill(block, "conv2", 0);
  const auto x = torch::randn({1, 4, 3, 3});
  EXPECT_TRUE(block.forward(x).equal(x));
}

TEST(ResnetBlock, ChangingTheWidthAddsA1x1Shortcut) {
  ResnetBlock block({.in = 4, .out = 2, .norm_groups = 2}, torch::kFloat32);
  fill(block, "", 0.3);
  fill(block, "conv2", 0);
  fill(block, "conv_shortcut.weight", 1);
  fill(block, "conv_shortcut.bias", 0);
  const auto x = torch::randn({1, 4, 3, 3});
  EXPECT_TRUE(block.forward(x).allclose(x.sum(1, true).expand({1, 2, 3, 3}), 1e-4, 1e-5));
}

TEST(ResnetBlock, TheTimeEmbeddingShiftsEachSampleBetweenTheConvolutions) {
  torch::manual_seed(5);
  ResnetBlock block({.in = 4, .out = 4, .time_channels = 2, .norm_groups = 2}, torch::kFloat32);
  fill(block, "", 0.3);
  const torch::NoGradGuard no_grad;
  // A shift that is equal in all channels of a group would be removed by norm2.
  block.named_parameters()["time_emb_proj.weight"].normal_();
  const auto x = torch::randn({1, 4, 3, 3}).expand({2, 4, 3, 3});
  const auto y = block.forward(x, torch::tensor({{1.0f, 0.0f}, {0.0f, 5.0f}}));
  EXPECT_FALSE(y[0].allclose(y[1]));
  const auto second_alone = block.forward(x.narrow(0, 1, 1), torch::tensor({{0.0f, 5.0f}}));
  EXPECT_TRUE(y[1].allclose(second_alone[0], 1e-4, 1e-5));
}

TEST(Downsample, RoundsUpWithPaddingOneAndDownWithPaddingZero) {
  const auto x = torch::zeros({1, 2, 7, 8});
  EXPECT_EQ(Downsample(2, 1, torch::kFloat32).forward(x).sizes(), (std::vector<int64_t>{1, 2, 4, 4}));
  EXPECT_EQ(Downsample(2, 0, torch::kFloat32).forward(x).sizes(), (std::vector<int64_t>{1, 2, 3, 4}));
}

TEST(Downsample, PaddingZeroAddsZerosBelowAndOnTheRight) {
  Downsample down(1, 0, torch::kFloat32);
  fill(down, "weight", 1);
  fill(down, "bias", 0);
  // The window covers the whole 2x2 picture and one row and column of zeros.
  EXPECT_EQ(down.forward(torch::ones({1, 1, 2, 2})).item<float>(), 4);
}

TEST(Upsample, RepeatsTheNearestPixelThenConvolves) {
  Upsample up(1, torch::kFloat32);
  fill(up, "", 0);
  const torch::NoGradGuard no_grad;
  up.named_parameters()["conv.weight"][0][0][1][1].fill_(1);  // the convolution that changes nothing
  const auto y = up.forward(torch::tensor({{{{1.0f, 2.0f}}}}), 2, 3);
  EXPECT_TRUE(y.equal(torch::tensor({{{{1.0f, 1.0f, 2.0f}, {1.0f, 1.0f, 2.0f}}}})));
}

}  // namespace
}  // namespace sara
