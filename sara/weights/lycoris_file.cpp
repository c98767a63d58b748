// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/lycoris_file.h"

#include <algorithm>

#include "sara/base/error.h"
#include "sara/sparse/gather_scatter.h"
#include "sara/weights/delta_sum.h"
#include "sara/weights/model_tensors.h"

namespace sara {
namespace {

const std::string kUnet = "unet.";

std::string module_of(const std::string& key) { return key.substr(0, key.rfind('.')); }
bool is_bias(const std::string& key) { return key.substr(key.rfind('.') + 1) == "bias"; }

std::string lycoris_name(const std::string& key, bool norm) {
  std::string path = module_of(key).substr(kUnet.size());
  std::replace(path.begin(), path.end(), '.', '_');
  return "lora_unet_" + path + (norm ? (is_bias(key) ? ".b_norm" : ".w_norm") : (is_bias(key) ? ".diff_b" : ".diff"));
}

}  // namespace

TensorMap lycoris_tensors(const ModelFolder& model, const std::vector<ScaledAdapter>& adapters, at::ScalarType dtype, bool force) {
  if (const auto family = model.family(); family != "sd1" && family != "sd2")
    throw InvalidArgument(message("--as lycoris: readers look for ", family, " layers under the names of single files, which are not written. Fix: use --as model"));
  std::set<std::string> keys = keys_of(adapters);
  for (const auto& key : std::set<std::string>(keys)) {
    if (key.rfind(kUnet, 0) != 0) throw BadFile(adapters.front().adapter.source, message(escaped(key), " is not of the denoiser (expected unet. in front). Fix: use --as model"));
    keys.insert(module_of(key) + ".weight");
  }
  const Adapter sum = delta_sum(model, adapters, force);
  std::map<std::string, torch::Tensor> base;
  for (const auto& [key, tensor] : model_tensors(model, keys)) base.emplace(key, tensor);
  TensorMap out;
  for (const auto& key : keys) {
    const torch::Tensor dense = torch::zeros_like(base.at(key), torch::kFloat);
    if (const auto part = sum.tensors.find(key); part != sum.tensors.end()) scatter_(dense, part->second.indices, part->second.data);
    out[lycoris_name(key, base.at(module_of(key) + ".weight").dim() == 1)] = in_dtype(dense, dtype, key);
  }
  return out;
}

std::map<std::string, std::string> lycoris_metadata(const ModelFolder& model) {
  return {{"ss_v2", model.family() == "sd2" ? "True" : "False"},
          {"ss_base_model_version", model.family() == "sd2" ? "sd_v2" : "sd_v1"},
          {"ss_sd_model_name", model.name()},
          {"ss_network_module", "lycoris.kohya"},
          {"ss_network_dim", "1"},
          {"ss_network_alpha", "1"},
          {"ss_network_args", R"({"algo": "full"})"}};
}

}  // namespace sara
