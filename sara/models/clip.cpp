// SPDX-License-Identifier: Apache-2.0
#include "sara/models/clip.h"

#include "sara/models/config_reader.h"

#include <torch/types.h>

namespace sara {
namespace {

Json merged_config(const Json& json, const std::string& key, int64_t projection_dim) {
  Json out = Json::object();
  for (const auto& name : {key, key + "_dict"})
    if (json.contains(name) && json[name].is_object()) out.update(json[name]);
  out["projection_dim"] = projection_dim;
  return out;
}

}  // namespace

ClipConfig ClipConfig::from_json(const Json& json) {
  const ConfigReader read(json, "CLIPModel");
  read.only("model_type", {"clip"});
  const auto projection_dim = read.integer("projection_dim", 512);
  Json text = merged_config(json, "text_config", projection_dim);
  text["architectures"] = {"CLIPTextModelWithProjection"};
  return {ClipTextConfig::from_json(text), ClipVisionConfig::from_json(merged_config(json, "vision_config", projection_dim))};
}

ClipModel::ClipModel(const ClipConfig& config, const torch::TensorOptions& options)
    : text_(std::make_shared<ClipTextModel>(config.text, options)), vision_(std::make_shared<ClipVisionModel>(config.vision, options)) {
  const std::shared_ptr<torch::nn::Module> encoders[] = {text_, vision_};
  for (const auto& encoder : encoders)
    for (const auto& child : encoder->named_children()) register_module(child.key(), child.value());
  register_parameter("logit_scale", torch::empty({}, options));
}

}  // namespace sara
