// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/adapter_sum.h"

#include <torch/types.h>

#include <filesystem>

#include "sara/base/error.h"
#include "sara/files/json.h"
#include "sara/weights/adapter_base.h"
#include "sara/weights/precision.h"

namespace sara {
namespace {

std::string entry(const Adapter& adapter, const char* key) {
  const auto found = adapter.metadata.find(key);
  return found == adapter.metadata.end() ? "" : found->second;
}

void require_same(const Adapter& first, const Adapter& other, const char* what, const std::string& expected, const std::string& got) {
  if (expected == got) return;
  throw BadFile(other.source, message("made for another base than ", escaped(first.source), ": ", what, " differs (expected ", escaped(expected), ", got ",
                                      escaped(got), "). Fix: sum adapters of one base, or add --force"));
}

}  // namespace

Adapter adapter_sum(const std::vector<ScaledAdapter>& adapters, bool force) {
  if (adapters.empty()) throw InvalidArgument("adapter: none given. Fix: add --adapter FILE");
  const auto& first = adapters.front().adapter;
  std::map<std::string, std::string> hashes;
  std::map<std::string, std::vector<std::pair<AdapterTensor, double>>> parts;
  Json sources = Json::array();
  for (const auto& [adapter, scale] : adapters) {
    if (!force) {
      require_same(first, adapter, "family", entry(first, "family"), entry(adapter, "family"));
      require_same(first, adapter, "training precision", precision_name(training_dtype(first)), precision_name(training_dtype(adapter)));
    }
    const auto own_hashes = base_hashes_of(adapter);
    for (const auto& [key, tensor] : adapter.tensors) {
      if (tensor.is_value) {
        throw BadFile(adapter.source, message(escaped(key), " holds weights, and what differs from the base is not known without it. Fix: add --model BASE"));
      }
      const auto hash = own_hashes.find(key);
      if (hash == own_hashes.end()) throw BadFile(adapter.source, message("no base hash for ", escaped(key), ". Fix: save the adapter again"));
      const auto [known, fresh] = hashes.emplace(key, hash->second);
      if (!fresh && !force) require_same(first, adapter, key.c_str(), known->second, hash->second);
      parts[key].emplace_back(tensor, scale);
    }
    sources.push_back(Json{{"file", std::filesystem::path(adapter.source).filename().string()}, {"scale", scale}});
  }
  Adapter sum{"sum", {}, {}};
  for (const auto& [key, terms] : parts) {
    std::vector<torch::Tensor> indices, changes;
    for (const auto& [tensor, scale] : terms) {
      indices.push_back(tensor.indices.to(torch::kLong));
      changes.push_back(tensor.data.to(torch::kDouble) * scale);
    }
    const auto [all, place, counts] = at::_unique2(torch::cat(indices), /*sorted=*/true, /*return_inverse=*/true);
    const auto total = torch::zeros({all.numel()}, torch::kDouble).index_add_(0, place, torch::cat(changes));
    sum.tensors[key] = {all, in_dtype(total, torch::kFloat, key), false};
  }
  for (const char* key : {"family", "base_model", "prompt_prefix", "library_version"}) {
    if (!entry(first, key).empty()) sum.metadata[key] = entry(first, key);
  }
  sum.metadata["precision"] = precision_name(training_dtype(first));
  sum.metadata["base_hash"] = Json(hashes).dump();
  sum.metadata["summed_from"] = sources.dump();
  return sum;
}

}  // namespace sara
