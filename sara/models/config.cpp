// SPDX-License-Identifier: Apache-2.0
#include "sara/models/config.h"

namespace sara {
namespace {

// Width, text and heads follow from the depth in every published one.
MmditConfig mmdit(int64_t layers, int64_t table_side) {
  MmditConfig config;
  config.num_layers = config.num_attention_heads = layers;
  config.caption_projection_dim = config.width();
  config.pos_embed_max_size = table_side;
  return config;
}

}  // namespace

UNetConfig sd15() {
  UNetConfig config;
  config.sample_size = 64;
  config.cross_attention_dim = 768;
  return config;
}

UNetConfig sd20() {
  UNetConfig config;
  config.sample_size = 64;
  config.cross_attention_dim = 1024;
  config.heads = {5, 10, 20, 20};
  config.use_linear_projection = true;
  return config;
}

UNetConfig sdxl() {
  UNetConfig config;
  config.sample_size = 128;
  config.block_out_channels = {320, 640, 1280};
  config.down_block_types = {"DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"};
  config.up_block_types = {"CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"};
  config.layers_per_block = {2, 2, 2};
  config.transformer_layers_per_block = {1, 2, 10};
  config.heads = {5, 10, 20};
  config.cross_attention_dim = 2048;
  config.use_linear_projection = true;
  config.text_time = TextTimeConfig{.time_channels = 256, .in_channels = 2816};
  return config;
}

UNetConfig animatediff_v2() {
  auto config = sd15();
  config.motion = MotionConfig();
  return config;
}

MmditConfig sd3_medium() { return mmdit(24, 192); }

MmditConfig sd35_medium() {
  auto config = mmdit(24, 384);
  config.qk_norm = true;
  for (int64_t i = 0; i < 13; ++i) config.dual_attention_layers.insert(i);
  return config;
}

MmditConfig sd35_large() {
  auto config = mmdit(38, 192);
  config.qk_norm = true;
  return config;
}

VaeConfig sd_vae() {
  VaeConfig config;
  config.block_out_channels = {128, 256, 512, 512};
  config.layers_per_block = 2;
  config.sample_size = 512;
  return config;
}

ClipTextConfig clip_l() {
  ClipTextConfig config;
  config.hidden_size = 768;
  config.intermediate_size = 3072;
  config.num_attention_heads = 12;
  return config;
}

VaeConfig sd3_vae() {
  auto config = sd_vae();
  config.sample_size = 1024;
  config.latent_channels = 16;
  config.scaling_factor = 1.5305;
  config.shift_factor = 0.0609;
  config.use_quant_conv = config.use_post_quant_conv = false;
  return config;
}

ClipTextConfig open_clip_g() {
  ClipTextConfig config;
  config.hidden_size = 1280;
  config.intermediate_size = 5120;
  config.num_hidden_layers = 32;
  config.num_attention_heads = 20;
  config.hidden_act = Activation::gelu;
  config.with_projection = true;
  config.projection_dim = 1280;
  return config;
}

ClipTextConfig open_clip_h() {
  ClipTextConfig config;
  config.hidden_size = 1024;
  config.intermediate_size = 4096;
  config.num_hidden_layers = 23;
  config.num_attention_heads = 16;
  config.hidden_act = Activation::gelu;
  return config;
}

}  // namespace sara
