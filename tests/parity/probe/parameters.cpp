// SPDX-License-Identifier: Apache-2.0
#include "tests/parity/probe/parameters.h"

#include <torch/nn/module.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <set>
#include <string>

#include "sara/base/error.h"
#include "sara/models/initialize.h"

namespace sara::tests {

void fill_parameters(torch::nn::Module& model, const Json& config) {
  const torch::NoGradGuard no_grad;
  if (config.contains("weights")) {
    const SafetensorsReader reader(config.at("weights").get<std::string>());
    auto parameters = model.named_parameters();
    for (const auto& item : model.named_buffers()) parameters.insert(item.key(), item.value());
    SARA_CHECK(reader.tensors().size() == parameters.size(), reader.tensors().size(), " tensors in the file, ",
               parameters.size(), " in the model");
    for (const auto& item : parameters) {
      const TensorInfo* info = reader.find(item.key());
      SARA_CHECK(info, item.key(), " is not in the file");
      SARA_CHECK(at::IntArrayRef(info->shape) == item.value().sizes(), item.key(), " has shape ", item.value().sizes());
      item.value().copy_(read_tensor(reader, *info));
    }
  } else {
    initialize_(model, config.at("seed").get<uint64_t>());
  }
  if (config.contains("save_weights")) {
    TensorMap tensors;
    for (const auto& item : model.named_parameters()) tensors[item.key()] = item.value();
    for (const auto& item : model.named_buffers()) tensors[item.key()] = item.value();
    save_tensors(config.at("save_weights").get<std::string>(), tensors);
  }
}

void choose_gradients(torch::nn::Module& model, const Json& config) {
  const Json wanted = config.value("gradients", Json::array());
  const bool all = wanted.is_boolean() && wanted.get<bool>();
  const auto names = all ? std::set<std::string>() : wanted.get<std::set<std::string>>();
  size_t found = 0;
  for (const auto& item : model.named_parameters()) {
    item.value().set_requires_grad(all || names.count(item.key()) > 0);
    found += names.count(item.key());
  }
  SARA_CHECK(found == names.size(), "a gradient was asked for a parameter that does not exist");
}

void give_gradients(torch::nn::Module& model, const torch::Tensor& loss, TensorMap& out) {
  if (!loss.requires_grad()) return;
  loss.backward();
  for (const auto& item : model.named_parameters())
    if (item.value().grad().defined()) out["grad." + item.key()] = item.value().grad();
}

torch::TensorOptions tensor_options(const Json& config) {
  const std::string dtype = config.value("dtype", "float32");
  SARA_CHECK(dtype == "float32" || dtype == "bfloat16", dtype);
  return torch::dtype(dtype == "float32" ? torch::kFloat32 : torch::kBFloat16);
}

}  // namespace sara::tests
