// SPDX-License-Identifier: Apache-2.0
#include "sara/models/initialize.h"

#include <gtest/gtest.h>

#include <ATen/Parallel.h>

#include <cmath>

#include "sara/models/clip_text.h"
#include "sara/models/unet.h"

namespace sara {
namespace {

UNetConfig unet_config(int64_t text_channels) {
  UNetConfig config;
  config.block_out_channels = {32};
  config.down_block_types = {"CrossAttnDownBlock2D"};
  config.up_block_types = {"CrossAttnUpBlock2D"};
  config.layers_per_block = config.transformer_layers_per_block = {1};
  config.heads = {4};
  config.cross_attention_dim = text_channels;
  return config;
}

bool same(const torch::nn::Module& a, const torch::nn::Module& b) {
  const auto pa = a.parameters(), pb = b.parameters();
  for (size_t i = 0; i < pa.size(); ++i)
    if (!pa[i].equal(pb[i])) return false;
  return pa.size() == pb.size();
}

TEST(Initialize, LinearAndConvolutionFillTheirWholeRangeEvenly) {
  UNet2DConditionModel unet(unet_config(8), torch::kFloat32);
  initialize_(unet, 1);
  const auto p = unet.named_parameters();
  // conv1: 32 · 3 · 3 = 288 inputs; ff.net.2: 128.
  const std::pair<const char*, double> cases[] = {
      {"mid_block.resnets.0.conv1.weight", 1 / std::sqrt(288.0)},
      {"mid_block.attentions.0.transformer_blocks.0.ff.net.2.weight", 1 / std::sqrt(128.0)}};
  for (const auto& [name, bound] : cases) {
    EXPECT_LE(p[name].abs().max().item<double>(), bound * (1 + 1e-6));
    EXPECT_GT(p[name].abs().max().item<double>(), 0.99 * bound);
    EXPECT_NEAR(p[name].std().item<double>(), bound / std::sqrt(3.0), 0.03 * bound);
    EXPECT_NEAR(p[name].mean().item<double>(), 0, 0.03 * bound);
  }
  EXPECT_LE(p["mid_block.resnets.0.conv1.bias"].abs().max().item<double>(), 1 / std::sqrt(288.0) * (1 + 1e-6));
  EXPECT_GT(p["mid_block.resnets.0.conv1.bias"].abs().max().item<double>(), 0.5 / std::sqrt(288.0));
}

TEST(Initialize, NormsStartAtOneAndZero) {
  UNet2DConditionModel unet(unet_config(8), torch::kFloat32);
  initialize_(unet, 1);
  for (const auto& item : unet.named_parameters()) {
    if (item.key().find("norm") == std::string::npos) continue;
    EXPECT_TRUE((item.value() == (item.key().ends_with("weight") ? 1 : 0)).all().item<bool>()) << item.key();
  }
}

TEST(Initialize, TheSameSeedGivesTheSameBitsForAnyNumberOfThreads) {
  UNet2DConditionModel a(unet_config(8), torch::kFloat32), b(unet_config(8), torch::kFloat32),
      c(unet_config(8), torch::kFloat32);
  const int threads = at::get_num_threads();
  initialize_(a, 7);
  at::set_num_threads(1);
  initialize_(b, 7);
  at::set_num_threads(threads);
  initialize_(c, 8);
  EXPECT_TRUE(same(a, b));
  EXPECT_FALSE(same(a, c));
}

TEST(Initialize, AParameterDependsOnItsNameAlone) {
  UNet2DConditionModel a(unet_config(8), torch::kFloat32), b(unet_config(16), torch::kFloat32);
  initialize_(a, 7);
  initialize_(b, 7);
  const auto pa = a.named_parameters(), pb = b.named_parameters();
  const std::string shared = "up_blocks.0.resnets.1.conv2.weight", sibling = "up_blocks.0.resnets.0.conv2.weight";
  EXPECT_TRUE(pa[shared].equal(pb[shared]));
  EXPECT_FALSE(pa[shared].equal(pa[sibling]));
}

TEST(Initialize, HalfPrecisionIsTheRoundedSinglePrecisionDraw) {
  UNet2DConditionModel single(unet_config(8), torch::kFloat32), half(unet_config(8), torch::kBFloat16);
  initialize_(single, 7);
  initialize_(half, 7);
  const auto p = single.named_parameters();
  for (const auto& item : half.named_parameters())
    EXPECT_TRUE(item.value().equal(p[item.key()].to(torch::kBFloat16))) << item.key();
}

TEST(Initialize, TheTextEncoderFollowsItsOwnDeviations) {
  ClipTextConfig config;
  config.hidden_size = 64;
  config.intermediate_size = 256;
  config.num_hidden_layers = 2;
  config.initializer_factor = 3;
  ClipTextModel text(config, torch::kFloat32);
  initialize_(text, 7);
  const auto p = text.named_parameters();
  const std::string layer = "text_model.encoder.layers.1.";
  const std::pair<std::string, double> cases[] = {{"text_model.embeddings.token_embedding.weight", 0.02},
                                                  {"text_model.embeddings.position_embedding.weight", 0.02},
                                                  {layer + "self_attn.k_proj.weight", 1 / 16.0},  // (64 · 4)^-½
                                                  {layer + "self_attn.out_proj.weight", 1 / 8.0},
                                                  {layer + "mlp.fc1.weight", 1 / std::sqrt(128.0)},
                                                  {layer + "mlp.fc2.weight", 1 / 16.0}};
  for (const auto& [name, deviation] : cases)
    EXPECT_NEAR(p[name].std().item<double>(), 3 * deviation, 0.1 * deviation) << name;
  for (const auto& item : p) {
    if (!item.key().ends_with("bias")) continue;
    EXPECT_EQ(item.value().abs().max().item<double>(), 0) << item.key();
  }
  EXPECT_TRUE((p[layer + "layer_norm2.weight"] == 1).all().item<bool>());
}

}  // namespace
}  // namespace sara
