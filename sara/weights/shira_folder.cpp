// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/shira_folder.h"

#include <filesystem>

#include "sara/base/error.h"
#include "sara/files/atomic_folder.h"
#include "sara/files/json.h"
#include "sara/weights/delta_sum.h"
#include "sara/weights/model_tensors.h"
#include "sara/weights/tensor_file.h"

namespace sara {
namespace {

const std::string kPrefix = "unet.", kWeight = ".weight";

bool names_linear(const std::string& key, const torch::Tensor& base) {
  return base.dim() == 2 && key.rfind(kPrefix, 0) == 0 && key.size() > kWeight.size() && key.compare(key.size() - kWeight.size(), kWeight.size(), kWeight) == 0;
}

void require_linear(const Adapter& sum, const std::map<std::string, torch::Tensor>& base) {
  std::vector<std::string> other;
  for (const auto& [key, tensor] : sum.tensors)
    if (!names_linear(key, base.at(key))) other.push_back(key);
  if (other.empty()) return;
  throw InvalidArgument(message("as: PEFT's SHiRA holds weights of linear layers alone, and ", other.size(), " of ", sum.tensors.size(),
                                " tensors are convolutions, norms or biases: ", first_five(other),
                                ". Fix: use --as lycoris or --as model, or train with --include on linear layers"));
}

int64_t least_rank(const Adapter& sum, const std::map<std::string, torch::Tensor>& base) {
  int64_t rank = 1;
  for (const auto& [key, tensor] : sum.tensors) {
    const int64_t sides = base.at(key).size(0) + base.at(key).size(1);
    rank = std::max(rank, (tensor.indices.numel() + sides - 1) / sides);
  }
  std::vector<std::string> full;
  for (const auto& [key, tensor] : sum.tensors) {
    const torch::Tensor& weight = base.at(key);
    if (rank * (weight.size(0) + weight.size(1)) > weight.numel()) full.push_back(message(key, " ", weight.sizes()));
  }
  if (!full.empty())
    throw InvalidArgument(message("as: PEFT's SHiRA keeps r (in + out) values a layer, with one r for all; the densest mask needs r = ", rank, ", more than fits into ",
                                  first_five(full), ". Fix: use --as lycoris or --as model"));
  return rank;
}

// The positions filled up to `count` with the first that are free, sorted, and the differences there.
std::pair<torch::Tensor, torch::Tensor> filled_up(const AdapterTensor& tensor, int64_t count, int64_t numel) {
  torch::Tensor dense = torch::zeros({numel}, torch::kFloat), taken = torch::zeros({numel}, torch::kBool);
  const torch::Tensor where = tensor.indices.to(torch::kLong);
  dense.index_copy_(0, where, tensor.data.to(torch::kFloat));
  taken.index_fill_(0, where, true);
  const torch::Tensor spare = taken.logical_not().nonzero().view(-1).narrow(0, 0, count - where.numel());
  const torch::Tensor all = std::get<0>(torch::cat({where, spare}).sort());
  return {all, dense.index_select(0, all)};
}

Json shira_config(const std::vector<std::string>& layers, int64_t rank, const ModelFolder& model) {
  return {{"auto_mapping", nullptr},      {"base_model_name_or_path", model.name()}, {"fan_in_fan_out", false}, {"inference_mode", true},
          {"init_weights", true},         {"mask_type", "random"},                   {"modules_to_save", nullptr}, {"peft_type", "SHIRA"},
          {"r", rank},                    {"random_seed", nullptr},                  {"revision", nullptr},     {"target_modules", layers},
          {"task_type", nullptr}};
}

}  // namespace

ShiraReport write_shira_folder(const ModelFolder& model, const std::vector<ScaledAdapter>& adapters, const std::string& output, bool overwrite,
                               at::ScalarType dtype, bool force) {
  const Adapter sum = delta_sum(model, adapters, force);
  std::map<std::string, torch::Tensor> base;
  for (const auto& [key, tensor] : model_tensors(model, keys_of(adapters))) base.emplace(key, tensor);
  require_linear(sum, base);
  const int64_t rank = least_rank(sum, base);
  ShiraReport report{0, rank, 0};
  std::vector<std::string> layers;
  TensorMap tensors;
  for (const auto& [key, tensor] : sum.tensors) {
    const int64_t out = base.at(key).size(0), in = base.at(key).size(1);
    const auto [where, data] = filled_up(tensor, rank * (in + out), in * out);
    const std::string path = key.substr(kPrefix.size(), key.size() - kPrefix.size() - kWeight.size());
    tensors["base_model.model." + path + ".shira_weight"] = in_dtype(data, dtype, key);
    tensors["base_model.model." + path + ".shira_indices"] = torch::stack({where.div(in, "floor"), where.remainder(in)}).to(torch::kInt);
    layers.push_back(path);
    report.layers += 1;
    report.values += data.numel();
  }
  AtomicFolder folder(output, overwrite);
  const auto inside = [&](const char* name) { return (std::filesystem::path(folder.temporary()) / name).string(); };
  save_tensors(inside("adapter_model.safetensors"), tensors, {{"format", "pt"}});
  write_json(inside("adapter_config.json"), shira_config(layers, rank, model));
  folder.commit();
  return report;
}

}  // namespace sara
