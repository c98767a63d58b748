// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/files/json.h"

#include <cstdint>
#include <set>

namespace sara {

// The config.json of an SD3Transformer2DModel. The defaults are those of the published class.
struct MmditConfig {
  int64_t sample_size = 128;  // side of the latents it was trained on; the model takes any size its position table holds
  int64_t patch_size = 2;
  int64_t in_channels = 16, out_channels = 16;
  int64_t num_layers = 18;
  int64_t attention_head_dim = 64, num_attention_heads = 18;
  int64_t joint_attention_dim = 4096;     // width of the text
  int64_t caption_projection_dim = 1152;  // equals width()
  int64_t pooled_projection_dim = 2048;
  int64_t pos_embed_max_size = 96;  // patches along a side that the position table holds
  std::set<int64_t> dual_attention_layers;  // with a second attention of the picture to itself (3.5 medium)
  bool qk_norm = false;                     // key qk_norm: rms_norm or null

  Json source = Json::object();  // what from_json read; keys unknown here survive in to_json

  // Throws InvalidArgument naming the key when a value is malformed or asks for a variant that is not supported.
  static MmditConfig from_json(const Json& json);
  Json to_json() const;
  // Throws InvalidArgument when the fields contradict each other. The model's constructor calls it.
  void check() const;
  int64_t width() const { return attention_head_dim * num_attention_heads; }
};

}  // namespace sara
