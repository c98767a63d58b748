// SPDX-License-Identifier: Apache-2.0
#include "sara/models/unet.h"

#include <gtest/gtest.h>

#include <map>

#include "sara/base/error.h"
#include "sara/models/config.h"
#include "sara/models/initialize.h"
#include "tests/support/small_models.h"

namespace sara {
namespace {

TEST(UNet, OfSd15HasThePublishedTensors) {
  const UNet2DConditionModel unet(sd15(), torch::device(torch::kMeta));
  EXPECT_EQ(unet.parameters().size(), 686u);
  EXPECT_EQ(elements_by_dim(unet), (std::map<int64_t, int64_t>{{1, 443'844}, {2, 270'049'280}, {4, 589'027'840}}));
  const auto p = unet.named_parameters();
  EXPECT_EQ(p["down_blocks.0.attentions.1.transformer_blocks.0.attn2.to_k.weight"].sizes(),
            (std::vector<int64_t>{320, 768}));
  EXPECT_EQ(p["mid_block.attentions.0.proj_in.weight"].sizes(), (std::vector<int64_t>{1280, 1280, 1, 1}));
  EXPECT_EQ(p["up_blocks.1.resnets.2.conv_shortcut.weight"].sizes(), (std::vector<int64_t>{1280, 1920, 1, 1}));
  EXPECT_EQ(p["up_blocks.3.attentions.2.transformer_blocks.0.ff.net.0.proj.weight"].sizes(),
            (std::vector<int64_t>{2560, 320}));
}

TEST(UNet, OfSd20HasThePublishedTensors) {
  const UNet2DConditionModel unet(sd20(), torch::device(torch::kMeta));
  EXPECT_EQ(unet.parameters().size(), 686u);
  EXPECT_EQ(elements_by_dim(unet), (std::map<int64_t, int64_t>{{1, 443'844}, {2, 301'219'840}, {4, 564'247'040}}));
  EXPECT_EQ(unet.named_parameters()["mid_block.attentions.0.proj_in.weight"].sizes(),
            (std::vector<int64_t>{1280, 1280}));
}

TEST(UNet, OfSdxlHasThePublishedTensors) {
  const UNet2DConditionModel unet(sdxl(), torch::device(torch::kMeta));
  EXPECT_EQ(unet.parameters().size(), 1'680u);
  EXPECT_EQ(elements(unet), 2'567'463'684);
  EXPECT_EQ(elements_by_dim(unet), (std::map<int64_t, int64_t>{{1, 1'583'364}, {2, 2'232'647'680}, {4, 333'232'640}}));
  const auto p = unet.named_parameters();
  EXPECT_EQ(p["add_embedding.linear_1.weight"].sizes(), (std::vector<int64_t>{1280, 2816}));
  EXPECT_TRUE(p.contains("mid_block.attentions.0.transformer_blocks.9.norm3.bias"));
  EXPECT_TRUE(p.contains("up_blocks.0.attentions.2.transformer_blocks.9.norm3.bias"));
}

TEST(UNet, RunsForwardAndBackwardInBothPrecisionsWithAGradientForEveryWeight) {
  for (const auto dtype : {torch::kFloat32, torch::kBFloat16}) {
    UNet2DConditionModel unet(small_unet(), dtype);
    initialize_(unet, 1);
    torch::manual_seed(6);
    const auto y =
        unet.forward(torch::randn({2, 4, 6, 6}).to(dtype), torch::tensor({1, 900}), torch::randn({2, 5, 12}).to(dtype));
    EXPECT_EQ(y.scalar_type(), dtype);
    EXPECT_TRUE(y.isfinite().all().item<bool>());
    (y * torch::randn_like(y)).sum().backward();
    for (const auto& item : unet.named_parameters()) EXPECT_TRUE(item.value().grad().defined()) << item.key();
  }
}

TEST(UNet, GivesTheShapeOfItsInputForAnySize) {
  UNet2DConditionModel unet(small_unet(), torch::kFloat32);
  initialize_(unet, 1);
  const torch::NoGradGuard no_grad;
  for (const auto& [height, width] : {std::pair{1, 1}, {1, 5}, {3, 2}, {7, 9}}) {
    const auto x = torch::randn({1, 4, height, width});
    EXPECT_EQ(unet.forward(x, torch::tensor({0.5}), torch::randn({1, 1, 12})).sizes(), x.sizes());
  }
}

TEST(UNet, SamplesOfABatchDoNotTouchEachOther) {
  UNet2DConditionModel unet(small_unet(), torch::kFloat32);
  initialize_(unet, 1);
  const torch::NoGradGuard no_grad;
  const auto x = torch::randn({2, 4, 4, 4}), t = torch::tensor({10, 700}), text = torch::randn({2, 3, 12});
  const auto second = unet.forward(x.narrow(0, 1, 1), t.narrow(0, 1, 1), text.narrow(0, 1, 1));
  EXPECT_TRUE(unet.forward(x, t, text).narrow(0, 1, 1).allclose(second, 1e-4, 1e-5));
}

TEST(UNet, WrongShapesAreRefusedByName) {
  const UNet2DConditionModel unet(small_unet(), torch::kFloat32);
  const auto x = torch::zeros({2, 4, 4, 4}), t = torch::zeros({2}), text = torch::zeros({2, 3, 12});
  const auto reason = [&](const torch::Tensor& sample, const torch::Tensor& timestep, const torch::Tensor& states) {
    try {
      unet.forward(sample, timestep, states);
    } catch (const InvalidArgument& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_NE(reason(torch::zeros({2, 3, 4, 4}), t, text)
                .find("sample has the wrong shape (expected [B, 4, H, W], got [2, 3, 4, 4])"),
            std::string::npos);
  EXPECT_NE(reason(x, torch::zeros({1}), text).find("timestep"), std::string::npos);
  EXPECT_NE(reason(x, t, torch::zeros({2, 3, 8})).find("encoder_hidden_states"), std::string::npos);
  EXPECT_NE(reason(x, t, torch::zeros({1, 3, 12})).find("encoder_hidden_states"), std::string::npos);
}

TEST(UNet, AddedConditionsAreNeededExactlyWhereTheConfigSaysSo) {
  auto config = small_unet();
  const auto x = torch::zeros({2, 4, 4, 4}), t = torch::zeros({2}), text = torch::zeros({2, 3, 12});
  const AddedConditions added{torch::zeros({2, 8}), torch::zeros({2, 6})};
  const auto reason = [&](const UNetConfig& of, const AddedConditions& given) {
    try {
      UNet2DConditionModel unet(of, torch::kFloat32);
      initialize_(unet, 1);
      unet.forward(x, t, text, given);
    } catch (const InvalidArgument& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  EXPECT_NE(reason(config, added).find("takes neither pooled text nor time ids"), std::string::npos);
  config.text_time = TextTimeConfig{.time_channels = 4, .in_channels = 32};
  EXPECT_EQ(reason(config, added), "accepted");
  EXPECT_NE(reason(config, {}).find("P + N * 4 = 32, got none and none"), std::string::npos);
  EXPECT_NE(reason(config, {torch::zeros({2, 9}), added.time_ids}).find("got [2, 9] and [2, 6]"), std::string::npos);
  EXPECT_NE(reason(config, {torch::zeros({1, 8}), torch::zeros({1, 6})}).find("[2, P]"), std::string::npos);
}

TEST(UNet, HeadsThatDoNotDivideABlockAreRefused) {
  auto config = small_unet();
  config.heads = {3, 4};
  EXPECT_THROW(UNet2DConditionModel(config, torch::device(torch::kMeta)), InvalidArgument);
}

}  // namespace
}  // namespace sara
