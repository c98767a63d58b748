// SPDX-License-Identifier: Apache-2.0
#include "sara/models/motion_config.h"

#include "sara/base/error.h"
#include "sara/base/message.h"
#include "sara/models/config_reader.h"
#include "sara/models/unet_config.h"

namespace sara {
namespace {

constexpr const char* kAdapter = "MotionAdapter";

// The format allows a number or a list of one.
int64_t one_number(const ConfigReader& read, const std::string& key) { return read.given(key) ? read.per_block(key, 1, 1).front() : 1; }

}  // namespace

MotionConfig MotionConfig::from_unet(const ConfigReader& read, size_t blocks) {
  for (const char* key : {"reverse_motion_num_attention_heads", "reverse_temporal_transformer_layers_per_block", "transformer_layers_per_mid_block"}) read.only(key, {Json()});
  read.only("mid_block_layers", {1});
  MotionConfig c;
  c.heads = read.per_block("motion_num_attention_heads", blocks, 8);
  c.layers = read.per_block("temporal_transformer_layers_per_block", blocks, 1);
  c.mid_layers = one_number(read, "temporal_transformer_layers_per_mid_block");
  c.mid_block = read.boolean("use_motion_mid_block", c.mid_block);
  c.max_frames = read.integer("motion_max_seq_length", c.max_frames);
  return c;
}

void MotionConfig::put_into(Json& unet) const {
  unet["motion_num_attention_heads"] = per_block_json(heads);
  unet["temporal_transformer_layers_per_block"] = per_block_json(layers);
  unet["temporal_transformer_layers_per_mid_block"] = mid_layers;
  unet["use_motion_mid_block"] = mid_block;
  unet["motion_max_seq_length"] = max_frames;
}

MotionAdapterConfig MotionAdapterConfig::from_json(const Json& json) {
  const ConfigReader read(json, kAdapter);
  read.only("_class_name", {kAdapter});
  read.only("conv_in_channels", {Json()});
  read.only("motion_mid_block_layers_per_block", {1});
  MotionAdapterConfig c;
  c.block_out_channels = read.integers("block_out_channels", c.block_out_channels);
  const size_t blocks = c.block_out_channels.size();
  c.layers_per_block = read.per_block("motion_layers_per_block", blocks, 2);
  c.norm_num_groups = read.integer("motion_norm_num_groups", c.norm_num_groups);
  c.motion.heads = read.per_block("motion_num_attention_heads", blocks, 8);
  c.motion.layers = read.per_block("motion_transformer_layers_per_block", blocks, 1);
  c.motion.mid_layers = one_number(read, "motion_transformer_layers_per_mid_block");
  c.motion.mid_block = read.boolean("use_motion_mid_block", c.motion.mid_block);
  c.motion.max_frames = read.integer("motion_max_seq_length", c.motion.max_frames);
  return c;
}

Json unet_with_motion(const Json& unet, const Json& adapter) {
  auto config = UNetConfig::from_json(unet);
  const auto modules = MotionAdapterConfig::from_json(adapter);
  const auto need_equal = [](const char* what, const std::string& expected, const std::string& got) {
    if (expected != got)
      throw InvalidArgument(message("the motion modules do not fit the UNet: ", what, " (expected ", expected, ", got ", got, "). Fix: use motion modules made for this kind of model"));
  };
  if (config.motion) throw InvalidArgument("the UNet has motion modules already. Fix: leave --motion-adapter out");
  need_equal("channels of the blocks", Json(config.block_out_channels).dump(), Json(modules.block_out_channels).dump());
  need_equal("layers of the blocks", Json(config.layers_per_block).dump(), Json(modules.layers_per_block).dump());
  need_equal("norm groups", std::to_string(config.norm_num_groups), std::to_string(modules.norm_num_groups));
  config.motion = modules.motion;
  return config.to_json();
}

}  // namespace sara
