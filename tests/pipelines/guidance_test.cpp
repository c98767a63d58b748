// SPDX-License-Identifier: Apache-2.0
#include "sara/pipelines/guidance.h"

#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "sara/models/initialize.h"
#include "sara/models/unet.h"

namespace sara {
namespace {

UNet2DConditionModel tiny() {
  UNetConfig config;
  config.block_out_channels = {8, 8};
  config.down_block_types = {"CrossAttnDownBlock2D", "DownBlock2D"};
  config.up_block_types = {"UpBlock2D", "CrossAttnUpBlock2D"};
  config.layers_per_block = {1, 1};
  config.transformer_layers_per_block = {1, 1};
  config.heads = {2, 2};
  config.cross_attention_dim = 8;
  config.norm_num_groups = 4;
  UNet2DConditionModel unet(config);
  initialize_(unet, 1);
  return unet;
}

TEST(Guidance, StepsFromWithoutTowardsWith) {
  const auto without = torch::tensor({1.0, 2.0}), with = torch::tensor({2.0, 0.0});
  EXPECT_TRUE(torch::equal(guided(without, with, 0), without));
  EXPECT_TRUE(torch::equal(guided(without, with, 1), with));
  EXPECT_TRUE(torch::equal(guided(without, with, 3), torch::tensor({4.0, -4.0})));
}

TEST(Guidance, TheBatchOfBothHalvesEqualsTwoCalls) {
  const torch::NoGradGuard no_grad;
  const auto unet = tiny();
  torch::manual_seed(2);
  const auto latents = torch::randn({2, 4, 8, 8}), with = torch::randn({2, 5, 8}), without = torch::randn({2, 5, 8});
  const auto both = guided_prediction(unet, latents, 500, {with, {}}, {without, {}}, 7.5);
  const auto plain = guided_prediction(unet, latents, 500, {with, {}}, {}, 1);
  const auto empty = guided_prediction(unet, latents, 500, {without, {}}, {}, 1);
  EXPECT_TRUE(torch::allclose(both, guided(empty, plain, 7.5), 1e-4, 1e-5));
}

TEST(Guidance, AHalfPrecisionDenoiserAnswersInFp32) {
  const torch::NoGradGuard no_grad;
  auto unet = tiny();
  unet.to(torch::kBFloat16);
  const auto latents = torch::randn({1, 4, 8, 8}), text = torch::randn({1, 5, 8}).to(torch::kBFloat16);
  EXPECT_EQ(guided_prediction(unet, latents, 10, {text, {}}, {text, {}}, 2).scalar_type(), torch::kFloat32);
}

}  // namespace
}  // namespace sara
