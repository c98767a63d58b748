// SPDX-License-Identifier: Apache-2.0
#include "sara/models/clip_text_config.h"

#include "sara/models/config_reader.h"

#include <string>
#include <vector>

namespace sara {
namespace {

constexpr const char* kWithProjection = "CLIPTextModelWithProjection";

}  // namespace

ClipTextConfig ClipTextConfig::from_json(const Json& json) {
  const ConfigReader read(json, "CLIPTextModel");
  read.only("hidden_act", {"quick_gelu", "gelu"});
  read.only("attention_dropout", {0});
  read.only("model_type", {"clip_text_model"});
  ClipTextConfig c;
  c.source = json;
  c.vocab_size = read.integer("vocab_size", c.vocab_size);
  c.hidden_size = read.integer("hidden_size", c.hidden_size);
  c.intermediate_size = read.integer("intermediate_size", c.intermediate_size);
  c.num_hidden_layers = read.integer("num_hidden_layers", c.num_hidden_layers);
  c.num_attention_heads = read.integer("num_attention_heads", c.num_attention_heads);
  c.max_position_embeddings = read.integer("max_position_embeddings", c.max_position_embeddings);
  c.hidden_act = read.text("hidden_act", "quick_gelu") == "gelu" ? Activation::gelu : Activation::quick_gelu;
  c.layer_norm_eps = read.positive("layer_norm_eps", c.layer_norm_eps);
  c.eos_token_id = read.integer("eos_token_id", c.eos_token_id, 0);
  c.projection_dim = read.integer("projection_dim", c.projection_dim);
  if (read.given("architectures")) {
    const auto classes = read.texts("architectures", {});
    c.with_projection = !classes.empty() && classes.front() == kWithProjection;
  }
  c.initializer_factor = read.positive("initializer_factor", c.initializer_factor);
  return c;
}

Json ClipTextConfig::to_json() const {
  Json json = source;
  if (with_projection)
    json["architectures"] = std::vector<std::string>{kWithProjection};
  else if (!json.contains("architectures"))
    json["architectures"] = std::vector<std::string>{"CLIPTextModel"};
  if (with_projection || json.contains("projection_dim")) json["projection_dim"] = projection_dim;
  if (eos_token_id != ClipTextConfig().eos_token_id || json.contains("eos_token_id")) json["eos_token_id"] = eos_token_id;
  json["model_type"] = "clip_text_model";
  json["vocab_size"] = vocab_size;
  json["hidden_size"] = hidden_size;
  json["intermediate_size"] = intermediate_size;
  json["num_hidden_layers"] = num_hidden_layers;
  json["num_attention_heads"] = num_attention_heads;
  json["max_position_embeddings"] = max_position_embeddings;
  json["hidden_act"] = hidden_act == Activation::gelu ? "gelu" : "quick_gelu";
  json["layer_norm_eps"] = layer_norm_eps;
  json["initializer_factor"] = initializer_factor;
  return json;
}

}  // namespace sara
