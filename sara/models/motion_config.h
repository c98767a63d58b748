// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/files/json.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace sara {

class ConfigReader;

// The motion modules of AnimateDiff in a UNet: one behind every layer of the down and up blocks, and with mid_block (v2)
// in the middle too. Lists as in UNetConfig, one entry a block.
struct MotionConfig {
  std::vector<int64_t> heads{8, 8, 8, 8};   // key motion_num_attention_heads
  std::vector<int64_t> layers{1, 1, 1, 1};  // transformer layers; key temporal_transformer_layers_per_block
  int64_t mid_layers = 1;                   // key temporal_transformer_layers_per_mid_block
  bool mid_block = true;                    // key use_motion_mid_block
  int64_t max_frames = 32;                  // key motion_max_seq_length: 24 in v1, 32 in v2 and v3

  // The keys of a UNetMotionModel's config.json with this many blocks. Throws InvalidArgument naming the key.
  static MotionConfig from_unet(const ConfigReader& read, size_t blocks);
  void put_into(Json& unet) const;
};

// The config.json of a MotionAdapter: motion modules without their UNet.
struct MotionAdapterConfig {
  std::vector<int64_t> block_out_channels{320, 640, 1280, 1280};
  std::vector<int64_t> layers_per_block{2, 2, 2, 2};  // of the UNet; up blocks have one more
  int64_t norm_num_groups = 32;
  MotionConfig motion;

  // Throws InvalidArgument naming the key when a value is malformed or asks for a variant that is not supported.
  static MotionAdapterConfig from_json(const Json& json);
};

// The config.json of a UNet2DConditionModel with the motion modules of an adapter's config.json in it: that of a
// UNetMotionModel. Throws InvalidArgument when the two do not fit each other.
Json unet_with_motion(const Json& unet, const Json& adapter);

}  // namespace sara
