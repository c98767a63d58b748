// SPDX-License-Identifier: Apache-2.0
#include "sara/models/unet_config.h"

#include <gtest/gtest.h>

#include <string>

#include "sara/base/error.h"
#include "sara/models/config.h"

namespace sara {
namespace {

// The text of the refusal, or "accepted".
std::string refusal(const Json& json) {
  try {
    UNetConfig::from_json(json);
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "accepted";
}

TEST(UNetConfig, AMissingKeyTakesTheClassDefault) {
  const auto config = UNetConfig::from_json(Json::object());
  EXPECT_EQ(config.block_out_channels, (std::vector<int64_t>{320, 640, 1280, 1280}));
  EXPECT_EQ(config.cross_attention_dim, 1280);
  EXPECT_EQ(config.heads, (std::vector<int64_t>{8, 8, 8, 8}));
  EXPECT_FALSE(config.sample_size);
}

TEST(UNetConfig, AFileGoesThroughUnchangedWithItsUnknownKeys) {
  const Json json = {{"_class_name", "UNet2DConditionModel"},
                     {"_diffusers_version", "0.6.0"},
                     {"my_note", {1, "two"}},
                     {"sample_size", 96},
                     {"in_channels", 9},
                     {"out_channels", 4},
                     {"center_input_sample", false},
                     {"flip_sin_to_cos", true},
                     {"freq_shift", 0},
                     {"down_block_types", {"DownBlock2D", "CrossAttnDownBlock2D"}},
                     {"up_block_types", {"CrossAttnUpBlock2D", "UpBlock2D"}},
                     {"block_out_channels", {32, 64}},
                     {"layers_per_block", 1},
                     {"transformer_layers_per_block", {1, 2}},
                     {"attention_head_dim", {2, 4}},
                     {"cross_attention_dim", 32},
                     {"downsample_padding", 0},
                     {"norm_num_groups", 16},
                     {"norm_eps", 1e-6},
                     {"use_linear_projection", true},
                     {"upcast_attention", true},
                     {"conv_in_kernel", 1},
                     {"conv_out_kernel", 5},
                     {"act_fn", "silu"},
                     {"class_embed_type", nullptr},
                     {"mid_block_scale_factor", 1.0}};
  EXPECT_EQ(UNetConfig::from_json(json).to_json(), json);
}

TEST(UNetConfig, TheKnownModelsGoThroughJsonUnchanged) {
  for (const auto& config : {sd15(), sd20(), sdxl()}) {
    const Json json = config.to_json();
    EXPECT_EQ(UNetConfig::from_json(json).to_json(), json);
  }
  EXPECT_EQ(sd15().to_json().at("attention_head_dim"), 8);
  EXPECT_EQ(sd20().to_json().at("attention_head_dim"), (Json{5, 10, 20, 20}));
  EXPECT_EQ(sdxl().to_json().at("addition_embed_type"), "text_time");
  EXPECT_FALSE(sd15().to_json().contains("addition_embed_type"));
}

TEST(UNetConfig, NumAttentionHeadsIsHonouredAndStaysUnderItsName) {
  const auto config = UNetConfig::from_json({{"num_attention_heads", {1, 2, 4, 8}}, {"attention_head_dim", 40}});
  EXPECT_EQ(config.heads, (std::vector<int64_t>{1, 2, 4, 8}));
  EXPECT_EQ(config.to_json().at("num_attention_heads"), (Json{1, 2, 4, 8}));
  EXPECT_EQ(config.to_json().at("attention_head_dim"), 40);
  EXPECT_EQ(UNetConfig::from_json({{"num_attention_heads", nullptr}}).heads, (std::vector<int64_t>{8, 8, 8, 8}));
}

TEST(UNetConfig, EveryUnsupportedVariantIsRefusedByItsKey) {
  const std::vector<std::pair<std::string, Json>> variants = {{"class_embed_type", "timestep"},
                                                              {"addition_embed_type", "text_image"},
                                                              {"addition_time_embed_dim", 256},
                                                              {"num_class_embeds", 10},
                                                              {"projection_class_embeddings_input_dim", 2816},
                                                              {"encoder_hid_dim", 512},
                                                              {"encoder_hid_dim_type", "text_proj"},
                                                              {"time_embedding_dim", 64},
                                                              {"time_embedding_act_fn", "silu"},
                                                              {"timestep_post_act", "silu"},
                                                              {"time_cond_proj_dim", 256},
                                                              {"cross_attention_norm", "layer_norm"},
                                                              {"reverse_transformer_layers_per_block", {1, 2}},
                                                              {"only_cross_attention", true},
                                                              {"dual_cross_attention", true},
                                                              {"resnet_skip_time_act", true},
                                                              {"class_embeddings_concat", true},
                                                              {"mid_block_only_cross_attention", true},
                                                              {"mid_block_type", "UNetMidBlock2DSimpleCrossAttn"},
                                                              {"mid_block_type", nullptr},
                                                              {"act_fn", "gelu"},
                                                              {"resnet_time_scale_shift", "scale_shift"},
                                                              {"time_embedding_type", "fourier"},
                                                              {"attention_type", "gated"},
                                                              {"mid_block_scale_factor", 2},
                                                              {"resnet_out_scale_factor", 1.5},
                                                              {"dropout", 0.1},
                                                              {"norm_num_groups", nullptr},
                                                              {"_class_name", "UNet3DConditionModel"}};
  for (const auto& [key, value] : variants) {
    const std::string text = refusal({{key, value}});
    EXPECT_NE(text.find("\"" + key + "\""), std::string::npos) << key << ": " << text;
    EXPECT_NE(text.find("Fix: "), std::string::npos) << key << ": " << text;
  }
}

TEST(UNetConfig, TextTimeNeedsItsTwoSizes) {
  Json json = {{"addition_embed_type", "text_time"}, {"addition_time_embed_dim", 8}, {"projection_class_embeddings_input_dim", 80}};
  EXPECT_EQ(UNetConfig::from_json(json).text_time->in_channels, 80);
  json["projection_class_embeddings_input_dim"] = nullptr;
  EXPECT_NE(refusal(json).find("\"projection_class_embeddings_input_dim\" is missing"), std::string::npos);
  json["addition_time_embed_dim"] = -1;
  EXPECT_NE(refusal(json).find("\"addition_time_embed_dim\""), std::string::npos);
}

TEST(UNetConfig, MalformedValuesAreRefusedWithWhatWasExpectedAndGot) {
  EXPECT_EQ(refusal({{"in_channels", "four"}}),
            "UNet2DConditionModel config: \"in_channels\" has an unsupported value (expected an integer from 1, got "
            "\"four\"). Fix: correct \"in_channels\" in config.json or use another model");
  EXPECT_NE(refusal({{"in_channels", 0}}).find("from 1, got 0"), std::string::npos);
  EXPECT_NE(refusal({{"in_channels", 1e30}}).find("\"in_channels\""), std::string::npos);
  EXPECT_NE(refusal({{"in_channels", UINT64_MAX}}).find("\"in_channels\""), std::string::npos);
  EXPECT_NE(refusal({{"block_out_channels", 320}}).find("a list of positive integers"), std::string::npos);
  EXPECT_NE(refusal({{"block_out_channels", Json::array()}}).find("\"block_out_channels\""), std::string::npos);
  EXPECT_NE(refusal({{"attention_head_dim", {8, 8}}}).find("a list of 4"), std::string::npos);
  EXPECT_NE(refusal({{"flip_sin_to_cos", 1}}).find("true or false"), std::string::npos);
  EXPECT_NE(
      refusal({{"down_block_types", {"DownBlock2D"}}}).find("\"down_block_types\" has the wrong length (expected 4"),
      std::string::npos);
  EXPECT_NE(
      refusal({{"up_block_types", {"UpBlock2D", "UpBlock2D", "UpBlock2D", "SkipUpBlock2D"}}}).find("SkipUpBlock2D"),
      std::string::npos);
  EXPECT_NE(refusal({{"norm_eps", -1e-5}}).find("a positive number"), std::string::npos);
  EXPECT_NE(refusal({{"conv_in_kernel", 4}}).find("odd"), std::string::npos);
  EXPECT_NE(refusal(Json::array()).find("not a JSON object"), std::string::npos);
}

}  // namespace
}  // namespace sara
