// SPDX-License-Identifier: Apache-2.0
#include "sara/models/vae_config.h"

#include "sara/models/config_reader.h"

#include <string>

namespace sara {

VaeConfig VaeConfig::from_json(const Json& json) {
  const ConfigReader read(json, "AutoencoderKL");
  VaeConfig c;
  c.source = json;
  c.in_channels = read.integer("in_channels", c.in_channels);
  c.out_channels = read.integer("out_channels", c.out_channels);
  c.block_out_channels = read.integers("block_out_channels", c.block_out_channels);
  c.layers_per_block = read.integer("layers_per_block", c.layers_per_block);
  c.latent_channels = read.integer("latent_channels", c.latent_channels);
  c.norm_num_groups = read.integer("norm_num_groups", c.norm_num_groups);
  c.sample_size = read.integer("sample_size", c.sample_size);
  c.scaling_factor = read.positive("scaling_factor", c.scaling_factor);
  if (read.given("shift_factor")) c.shift_factor = read.real("shift_factor", 0);
  c.use_quant_conv = read.boolean("use_quant_conv", c.use_quant_conv);
  c.use_post_quant_conv = read.boolean("use_post_quant_conv", c.use_post_quant_conv);
  c.force_upcast = read.boolean("force_upcast", c.force_upcast);
  c.mid_block_add_attention = read.boolean("mid_block_add_attention", c.mid_block_add_attention);

  const size_t blocks = c.block_out_channels.size();
  read.only("down_block_types", {std::vector<std::string>(blocks, "DownEncoderBlock2D")});
  read.only("up_block_types", {std::vector<std::string>(blocks, "UpDecoderBlock2D")});
  read.only("act_fn", {"silu", "swish"});
  read.only("latents_mean", {Json()});
  read.only("latents_std", {Json()});
  read.only("_class_name", {"AutoencoderKL"});
  return c;
}

Json VaeConfig::to_json() const {
  Json json = source;
  const size_t blocks = block_out_channels.size();
  json["_class_name"] = "AutoencoderKL";
  json["in_channels"] = in_channels;
  json["out_channels"] = out_channels;
  json["down_block_types"] = std::vector<std::string>(blocks, "DownEncoderBlock2D");
  json["up_block_types"] = std::vector<std::string>(blocks, "UpDecoderBlock2D");
  json["block_out_channels"] = block_out_channels;
  json["layers_per_block"] = layers_per_block;
  json["latent_channels"] = latent_channels;
  json["norm_num_groups"] = norm_num_groups;
  json["sample_size"] = sample_size;
  json["scaling_factor"] = scaling_factor;
  json["shift_factor"] = shift_factor ? Json(*shift_factor) : Json();
  json["use_quant_conv"] = use_quant_conv;
  json["use_post_quant_conv"] = use_post_quant_conv;
  json["mid_block_add_attention"] = mid_block_add_attention;
  if (!force_upcast || json.contains("force_upcast")) json["force_upcast"] = force_upcast;
  return json;
}

}  // namespace sara
