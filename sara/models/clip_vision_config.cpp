// SPDX-License-Identifier: Apache-2.0
#include "sara/models/clip_vision_config.h"

#include "sara/base/error.h"
#include "sara/models/config_reader.h"

namespace sara {

ClipVisionConfig ClipVisionConfig::from_json(const Json& json) {
  const ConfigReader read(json, "CLIPVisionModelWithProjection");
  read.only("hidden_act", {"quick_gelu", "gelu"});
  read.only("num_channels", {3});
  read.only("attention_dropout", {0});
  read.only("model_type", {"clip_vision_model"});
  ClipVisionConfig c;
  c.hidden_size = read.integer("hidden_size", c.hidden_size);
  c.intermediate_size = read.integer("intermediate_size", c.intermediate_size);
  c.projection_dim = read.integer("projection_dim", c.projection_dim);
  c.num_hidden_layers = read.integer("num_hidden_layers", c.num_hidden_layers);
  c.num_attention_heads = read.integer("num_attention_heads", c.num_attention_heads);
  c.image_size = read.integer("image_size", c.image_size);
  c.patch_size = read.integer("patch_size", c.patch_size);
  c.hidden_act = read.text("hidden_act", "quick_gelu") == "gelu" ? Activation::gelu : Activation::quick_gelu;
  c.layer_norm_eps = read.positive("layer_norm_eps", c.layer_norm_eps);
  if (c.hidden_size % c.num_attention_heads != 0)
    throw InvalidArgument(message("CLIPVisionModelWithProjection config: \"num_attention_heads\" ", c.num_attention_heads,
                                  " does not divide \"hidden_size\" ", c.hidden_size, ". Fix: correct config.json"));
  if (c.image_size % c.patch_size != 0)
    throw InvalidArgument(message("CLIPVisionModelWithProjection config: \"patch_size\" ", c.patch_size, " does not divide \"image_size\" ",
                                  c.image_size, ". Fix: correct config.json"));
  return c;
}

}  // namespace sara
