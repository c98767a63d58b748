// SPDX-License-Identifier: Apache-2.0
#include "sara/base/error.h"
#include "sara/models/config_reader.h"
#include "sara/weights/key_maps.h"

namespace sara {
namespace {

int64_t uniform(const std::vector<int64_t>& values, const char* key) {
  for (const int64_t value : values) {
    if (value != values.front())
      throw InvalidArgument(message("\"", key, "\" differs from block to block, and a single file has no names for that. Fix: keep the model as a folder"));
  }
  return values.front();
}

KeySizes unet_sizes(const Json& config) {
  const ConfigReader read(config, "UNet2DConditionModel");
  const auto channels = read.integers("block_out_channels", {320, 640, 1280, 1280});
  KeySizes sizes{static_cast<int64_t>(channels.size()), uniform(read.per_block("layers_per_block", channels.size(), 2), "layers_per_block") + 1};
  for (const auto& type : read.texts("up_block_types", {"UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"}))
    sizes.attention.push_back(type.find("Attn") != std::string::npos);
  if (sizes.attention.size() != channels.size()) throw InvalidArgument("UNet2DConditionModel config: up_block_types and block_out_channels have different lengths");
  return sizes;
}

KeySizes vae_sizes(const Json& config) {
  const ConfigReader read(config, "AutoencoderKL");
  return {static_cast<int64_t>(read.integers("block_out_channels", {64}).size()), read.integer("layers_per_block", 1) + 1};
}

KeySizes motion_sizes(const Json& config) {
  const ConfigReader read(config, "MotionAdapter");
  const auto channels = read.integers("block_out_channels", {320, 640, 1280, 1280});
  return {static_cast<int64_t>(channels.size()), uniform(read.per_block("motion_layers_per_block", channels.size(), 2), "motion_layers_per_block") + 1};
}

}  // namespace

KeyMap key_map(const KeyTable& table, const Json& config) {
  KeySizes sizes;
  if (&table == &unet_keys()) sizes = unet_sizes(config);
  if (&table == &vae_keys()) sizes = vae_sizes(config);
  if (&table == &open_clip_keys()) sizes.blocks = ConfigReader(config, "CLIPTextModel").integer("num_hidden_layers", 12);
  if (&table == &mmdit_keys()) sizes.blocks = ConfigReader(config, "SD3Transformer2DModel").integer("num_layers", 18);
  if (&table == &motion_keys()) sizes = motion_sizes(config);
  return {table, sizes};
}

}  // namespace sara
