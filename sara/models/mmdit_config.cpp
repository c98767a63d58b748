// SPDX-License-Identifier: Apache-2.0
#include "sara/models/mmdit_config.h"

#include "sara/base/error.h"
#include "sara/base/message.h"
#include "sara/models/config_reader.h"

#include <string>
#include <vector>

namespace sara {

MmditConfig MmditConfig::from_json(const Json& json) {
  const ConfigReader read(json, "SD3Transformer2DModel");
  read.only("_class_name", {"SD3Transformer2DModel"});
  read.only("qk_norm", {Json(), "rms_norm"});
  MmditConfig c;
  c.source = json;
  c.sample_size = read.integer("sample_size", c.sample_size);
  c.patch_size = read.integer("patch_size", c.patch_size);
  c.in_channels = read.integer("in_channels", c.in_channels);
  c.out_channels = read.given("out_channels") ? read.integer("out_channels", 0) : c.in_channels;
  c.num_layers = read.integer("num_layers", c.num_layers);
  c.attention_head_dim = read.integer("attention_head_dim", c.attention_head_dim);
  c.num_attention_heads = read.integer("num_attention_heads", c.num_attention_heads);
  c.joint_attention_dim = read.integer("joint_attention_dim", c.joint_attention_dim);
  c.caption_projection_dim = read.integer("caption_projection_dim", c.caption_projection_dim);
  c.pooled_projection_dim = read.integer("pooled_projection_dim", c.pooled_projection_dim);
  c.pos_embed_max_size = read.integer("pos_embed_max_size", c.pos_embed_max_size);
  c.qk_norm = read.given("qk_norm");
  for (const int64_t layer : read.indices("dual_attention_layers")) c.dual_attention_layers.insert(layer);
  c.check();
  return c;
}

Json MmditConfig::to_json() const {
  Json json = source;
  json["_class_name"] = "SD3Transformer2DModel";
  json["sample_size"] = sample_size;
  json["patch_size"] = patch_size;
  json["in_channels"] = in_channels;
  json["out_channels"] = out_channels;
  json["num_layers"] = num_layers;
  json["attention_head_dim"] = attention_head_dim;
  json["num_attention_heads"] = num_attention_heads;
  json["joint_attention_dim"] = joint_attention_dim;
  json["caption_projection_dim"] = caption_projection_dim;
  json["pooled_projection_dim"] = pooled_projection_dim;
  json["pos_embed_max_size"] = pos_embed_max_size;
  json["dual_attention_layers"] = dual_attention_layers;
  json["qk_norm"] = qk_norm ? Json("rms_norm") : Json();
  return json;
}

void MmditConfig::check() const {
  const auto need = [](bool good, const char* key, const std::string& what) {
    if (!good) throw InvalidArgument(message("SD3Transformer2DModel config: \"", key, "\" ", what, ". Fix: correct config.json"));
  };
  need(caption_projection_dim == width(), "caption_projection_dim",
       message("must be attention_head_dim * num_attention_heads (expected ", width(), ", got ", caption_projection_dim, ")"));
  need(width() % 4 == 0, "num_attention_heads", message("gives a width that is no multiple of 4 (got ", width(), ")"));
  need(dual_attention_layers.empty() || *dual_attention_layers.rbegin() < num_layers, "dual_attention_layers",
       message("names a layer past the last (expected below ", num_layers, ")"));
}

}  // namespace sara
