// SPDX-License-Identifier: Apache-2.0
#include "sara/data/cache_file.h"

#include <torch/types.h>

#include <filesystem>

#include "sara/base/error.h"
#include "sara/base/hash.h"
#include "sara/base/log.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

constexpr const char* kHashKey = "sara.content_hash";

std::string path_of(const std::string& folder, const std::string& name, const std::string& key) {
  return (fs::path(folder) / message(name, "-", key, ".safetensors")).string();
}

}  // namespace

std::string content_hash(const TensorMap& tensors) {
  Hasher hasher;
  for (const auto& [name, tensor] : tensors) {
    const auto values = tensor.detach().to(torch::kCPU).contiguous();
    hasher.update(message(name, "|", c10::toString(values.scalar_type()), "|", values.sizes(), "|"));
    hasher.update(values.data_ptr(), values.nbytes());
  }
  return hasher.hex();
}

std::optional<TensorMap> read_cache(const std::string& folder, const std::string& name, const std::string& key) {
  if (folder.empty()) return std::nullopt;
  const std::string path = path_of(folder, name, key);
  if (!fs::exists(path)) return std::nullopt;
  try {
    const auto metadata = SafetensorsReader(path).metadata();
    auto tensors = load_tensors(path);
    const auto hash = metadata.find(kHashKey);
    if (hash != metadata.end() && hash->second == content_hash(tensors)) return tensors;
    log_warning(message(escaped(path), ": the values do not match their hash; they are computed again"));
  } catch (const BadFile& error) {
    log_warning(message(error.what(), "; it is computed again"));
  }
  return std::nullopt;
}

void write_cache(const std::string& folder, const std::string& name, const std::string& key, const TensorMap& tensors) {
  if (folder.empty()) return;
  std::error_code code;
  fs::create_directories(folder, code);
  if (code) throw IoError(folder, "create the folder", code.value());
  save_tensors(path_of(folder, name, key), tensors, {{kHashKey, content_hash(tensors)}});
}

}  // namespace sara
