// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "sara/models/config.h"

namespace sara {

// The smallest networks that have every kind of block, for the tests of several rooms.
inline UNetConfig small_unet() {
  UNetConfig config;
  config.block_out_channels = {16, 32};
  config.down_block_types = {"CrossAttnDownBlock2D", "DownBlock2D"};
  config.up_block_types = {"UpBlock2D", "CrossAttnUpBlock2D"};
  config.layers_per_block = {1, 1};
  config.transformer_layers_per_block = {1, 1};
  config.heads = {2, 4};
  config.cross_attention_dim = 12;
  config.norm_num_groups = 8;
  return config;
}

inline MmditConfig small_mmdit() {
  MmditConfig config;
  config.sample_size = 8;
  config.in_channels = config.out_channels = 4;
  config.num_layers = 2;
  config.attention_head_dim = 8;
  config.num_attention_heads = 2;
  config.caption_projection_dim = 16;
  config.joint_attention_dim = 12;
  config.pooled_projection_dim = 6;
  config.pos_embed_max_size = 6;
  config.dual_attention_layers = {0};
  config.qk_norm = true;
  return config;
}

inline VaeConfig small_vae() {
  VaeConfig config;
  config.block_out_channels = {8, 16};
  config.norm_num_groups = 4;
  return config;
}

inline ClipTextConfig small_clip_text() {
  ClipTextConfig config;
  config.vocab_size = 50;
  config.hidden_size = 16;
  config.intermediate_size = 24;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.max_position_embeddings = 8;
  return config;
}

// Weights by the number of dimensions of their tensor, and all of them.
inline std::map<int64_t, int64_t> elements_by_dim(const torch::nn::Module& module) {
  std::map<int64_t, int64_t> count;
  for (const auto& parameter : module.parameters()) count[parameter.dim()] += parameter.numel();
  return count;
}

inline int64_t elements(const torch::nn::Module& module) {
  int64_t count = 0;
  for (const auto& parameter : module.parameters()) count += parameter.numel();
  return count;
}

}  // namespace sara
