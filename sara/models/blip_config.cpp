// SPDX-License-Identifier: Apache-2.0
#include "sara/models/blip_config.h"

#include "sara/base/error.h"
#include "sara/models/config_reader.h"

namespace sara {
namespace {

Json blip_section(const Json& json, const char* key) {
  return json.contains(key) && json[key].is_object() ? json[key] : Json::object();
}

void require_divisor(const char* key, int64_t divisor, const char* of, int64_t value) {
  if (value % divisor != 0)
    throw InvalidArgument(message("BlipForQuestionAnswering config: \"", key, "\" ", divisor, " does not divide \"", of, "\" ", value, ". Fix: correct config.json"));
}

}  // namespace

BlipConfig BlipConfig::from_json(const Json& json) {
  ConfigReader(json, "BlipForQuestionAnswering").only("model_type", {"blip"});
  const Json vision_json = blip_section(json, "vision_config"), text_json = blip_section(json, "text_config");
  BlipConfig config;

  const ConfigReader vision(vision_json, "BlipForQuestionAnswering vision_config");
  auto& v = config.vision;
  vision.only("hidden_act", {"gelu"});
  vision.only("num_channels", {3});
  v.hidden_size = vision.integer("hidden_size", v.hidden_size);
  v.intermediate_size = vision.integer("intermediate_size", v.intermediate_size);
  v.num_hidden_layers = vision.integer("num_hidden_layers", v.num_hidden_layers);
  v.num_attention_heads = vision.integer("num_attention_heads", v.num_attention_heads);
  v.image_size = vision.integer("image_size", v.image_size);
  v.patch_size = vision.integer("patch_size", v.patch_size);
  v.layer_norm_eps = vision.positive("layer_norm_eps", v.layer_norm_eps);
  require_divisor("num_attention_heads", v.num_attention_heads, "hidden_size", v.hidden_size);
  require_divisor("patch_size", v.patch_size, "image_size", v.image_size);

  const ConfigReader text(text_json, "BlipForQuestionAnswering text_config");
  auto& t = config.text;
  text.only("hidden_act", {"gelu"});
  text.only("is_decoder", {true});
  text.only("tie_word_embeddings", {true});
  t.vocab_size = text.integer("vocab_size", t.vocab_size);
  t.hidden_size = text.integer("hidden_size", t.hidden_size);
  t.intermediate_size = text.integer("intermediate_size", t.intermediate_size);
  t.num_hidden_layers = text.integer("num_hidden_layers", t.num_hidden_layers);
  t.num_attention_heads = text.integer("num_attention_heads", t.num_attention_heads);
  t.max_position_embeddings = text.integer("max_position_embeddings", t.max_position_embeddings);
  t.layer_norm_eps = text.positive("layer_norm_eps", t.layer_norm_eps);
  t.bos_token_id = text.integer("bos_token_id", t.bos_token_id, 0);
  require_divisor("num_attention_heads", t.num_attention_heads, "hidden_size", t.hidden_size);
  if (t.question_token_id() >= t.vocab_size)
    throw InvalidArgument(message("BlipForQuestionAnswering config: \"bos_token_id\" ", t.bos_token_id, " leaves no place for the token behind it (expected at most ",
                                  t.vocab_size - 2, "). Fix: correct config.json"));
  if (t.hidden_size != v.hidden_size)
    throw InvalidArgument(message("BlipForQuestionAnswering config: \"hidden_size\" of text_config is not that of vision_config (expected ", v.hidden_size, ", got ",
                                  t.hidden_size, "). Fix: use a base model, such as Salesforce/blip-vqa-base"));
  return config;
}

}  // namespace sara
