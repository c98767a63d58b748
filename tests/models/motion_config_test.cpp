// SPDX-License-Identifier: Apache-2.0
#include "sara/models/motion_config.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "sara/base/error.h"
#include "sara/models/config.h"
#include "sara/models/motion_adapter.h"
#include "sara/models/unet.h"
#include "tests/support/small_models.h"

namespace sara {
namespace {

std::string motion_refusal(const std::function<void()>& attempt) {
  try {
    attempt();
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "accepted";
}

Json small_adapter() {
  return {{"_class_name", "MotionAdapter"},     {"block_out_channels", {16, 32}},  {"motion_layers_per_block", 1},       {"motion_num_attention_heads", 4},
          {"motion_norm_num_groups", 8},        {"motion_max_seq_length", 12},     {"use_motion_mid_block", false},      {"conv_in_channels", nullptr},
          {"motion_mid_block_layers_per_block", 1}, {"motion_transformer_layers_per_block", 1}, {"motion_transformer_layers_per_mid_block", 1}};
}

TEST(MotionConfig, AUNetAndAnAdapterMakeTheConfigOfAUNetMotionModel) {
  const Json json = unet_with_motion(small_unet().to_json(), small_adapter());
  EXPECT_EQ(json.at("_class_name"), "UNetMotionModel");
  EXPECT_EQ(json.at("down_block_types"), (Json{"CrossAttnDownBlockMotion", "DownBlockMotion"}));
  EXPECT_EQ(json.at("up_block_types"), (Json{"UpBlockMotion", "CrossAttnUpBlockMotion"}));
  EXPECT_EQ(json.at("num_attention_heads"), (Json{2, 4}));
  EXPECT_FALSE(json.contains("attention_head_dim"));
  const auto config = UNetConfig::from_json(json);
  ASSERT_TRUE(config.motion);
  EXPECT_EQ(config.motion->heads, (std::vector<int64_t>{4, 4}));
  EXPECT_EQ(config.motion->max_frames, 12);
  EXPECT_FALSE(config.motion->mid_block);
  EXPECT_EQ(config.heads, (std::vector<int64_t>{2, 4}));
  EXPECT_EQ(config.to_json(), json);
}

TEST(MotionConfig, WhatDoesNotFitTheUNetIsNamed) {
  const auto with = [](const char* key, const Json& value) {
    return motion_refusal([&] {
      Json adapter = small_adapter();
      adapter[key] = value;
      unet_with_motion(small_unet().to_json(), adapter);
    });
  };
  EXPECT_NE(with("block_out_channels", {16, 48}).find("channels of the blocks (expected [16,32], got [16,48])"), std::string::npos);
  EXPECT_NE(with("motion_layers_per_block", 2).find("layers of the blocks"), std::string::npos);
  EXPECT_NE(with("motion_norm_num_groups", 4).find("norm groups (expected 8, got 4)"), std::string::npos);
  EXPECT_NE(with("conv_in_channels", 9).find("\"conv_in_channels\""), std::string::npos);
  EXPECT_NE(with("motion_mid_block_layers_per_block", 2).find("\"motion_mid_block_layers_per_block\""), std::string::npos);
  const Json done = unet_with_motion(small_unet().to_json(), small_adapter());
  EXPECT_NE(motion_refusal([&] { unet_with_motion(done, small_adapter()); }).find("has motion modules already"), std::string::npos);
}

TEST(MotionConfig, VariantsOfTheUNetAreRefusedByKey) {
  Json json = unet_with_motion(small_unet().to_json(), small_adapter());
  json["mid_block_layers"] = 2;
  EXPECT_NE(motion_refusal([&] { UNetConfig::from_json(json); }).find("\"mid_block_layers\""), std::string::npos);
  json["mid_block_layers"] = 1;
  json["reverse_motion_num_attention_heads"] = {2, 4};
  EXPECT_NE(motion_refusal([&] { UNetConfig::from_json(json); }).find("\"reverse_motion_num_attention_heads\""), std::string::npos);
}

TEST(MotionAdapter, HoldsTheMotionModulesOfTheUNetByTheirNames) {
  const auto config = UNetConfig::from_json(unet_with_motion(small_unet().to_json(), small_adapter()));
  const UNet2DConditionModel unet(config, torch::kMeta);
  const MotionAdapter adapter(MotionAdapterConfig::from_json(small_adapter()), torch::kMeta);
  const auto own = adapter.named_parameters();
  size_t found = 0;
  for (const auto& item : unet.named_parameters()) {
    if (item.key().find("motion_modules.") == std::string::npos) continue;
    ASSERT_TRUE(own.contains(item.key())) << item.key();
    EXPECT_EQ(own[item.key()].sizes(), item.value().sizes());
    ++found;
  }
  EXPECT_EQ(found, own.size());
  EXPECT_EQ(adapter.buffers().size(), 6);
}

TEST(UNetMotionModel, FramesShareATextAndAWrongSampleIsRefused) {
  auto config = UNetConfig::from_json(unet_with_motion(small_unet().to_json(), small_adapter()));
  const UNet2DConditionModel unet(config, torch::kMeta);
  EXPECT_EQ(unet.inputs().max_frames, 12);
  const auto forward = [&](at::IntArrayRef sample) {
    return motion_refusal([&] { unet.forward(torch::empty(sample, torch::kMeta), torch::empty({2}, torch::kMeta), torch::empty({2, 5, 12}, torch::kMeta)); });
  };
  EXPECT_NE(forward({2, 4, 8, 8}).find("expected [B, 4, frames, H, W], got [2, 4, 8, 8]"), std::string::npos);
  EXPECT_NE(forward({2, 4, 13, 8, 8}).find("know 12 frames, got 13"), std::string::npos);
}

}  // namespace
}  // namespace sara
