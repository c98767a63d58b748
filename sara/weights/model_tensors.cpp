// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/model_tensors.h"

#include <map>

#include "sara/weights/shards.h"
#include "sara/weights/tensor_file.h"

namespace sara {

std::pair<std::string, std::string> split_key(const std::string& key) {
  const auto dot = key.find('.');
  return {key.substr(0, dot), dot == std::string::npos ? "" : key.substr(dot + 1)};
}

std::set<std::string> keys_of(const std::vector<ScaledAdapter>& adapters) {
  std::set<std::string> keys;
  for (const auto& [adapter, scale] : adapters)
    for (const auto& [key, tensor] : adapter.tensors) keys.insert(key);
  return keys;
}

NamedTensors model_tensors(const ModelFolder& model, const std::set<std::string>& keys) {
  std::map<std::string, std::set<std::string>> wanted;
  for (const auto& key : keys) wanted[split_key(key).first].insert(split_key(key).second);
  NamedTensors tensors;
  for (const auto& [component, names] : wanted) {
    if (!model.has(component)) continue;
    const WeightFiles files = model.weights(component);
    for (const auto& entry : files.entries())
      if (names.count(entry.info->name)) tensors.emplace_back(component + "." + entry.info->name, read_tensor(entry));
  }
  return tensors;
}

}  // namespace sara
