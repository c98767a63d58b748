// SPDX-License-Identifier: Apache-2.0
#include <torch/nn/module.h>
#include <torch/types.h>

#include "sara/base/error.h"
#include "sara/models/mmdit.h"
#include "sara/models/motion_adapter.h"
#include "sara/models/t5.h"
#include "sara/models/unet.h"
#include "tests/parity/probe/probe.h"

namespace {

std::shared_ptr<torch::nn::Module> without_memory(const std::string& class_name, const sara::Json& model) {
  const auto meta = torch::device(torch::kMeta);
  if (class_name == "MotionAdapter") return std::make_shared<sara::MotionAdapter>(sara::MotionAdapterConfig::from_json(model), meta);
  if (class_name == "UNet2DConditionModel" || class_name == "UNetMotionModel")
    return std::make_shared<sara::UNet2DConditionModel>(sara::UNetConfig::from_json(model), meta);
  if (class_name == "SD3Transformer2DModel")
    return std::make_shared<sara::SD3Transformer2DModel>(sara::MmditConfig::from_json(model), meta);
  if (class_name == "T5EncoderModel") return std::make_shared<sara::T5EncoderModel>(sara::T5Config::from_json(model), meta);
  throw sara::InvalidArgument(class_name);
}

}  // namespace

// config: "class" and "model" (a config.json). Gives the shape of every parameter under its name; no weight is held.
SARA_PROBE(shapes) {
  const auto model = without_memory(in.config.at("class").get<std::string>(), in.config.at("model"));
  for (const auto& item : model->named_parameters()) out[item.key()] = torch::tensor(item.value().sizes().vec(), torch::kInt64);
}
