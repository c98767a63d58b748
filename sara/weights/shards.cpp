// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/shards.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/files/json.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

constexpr const char* kStems[] = {"diffusion_pytorch_model", "model"};

// A shard name may not leave the folder.
void check_shard_name(const std::string& index_path, const std::string& name) {
  const auto bad = [&](const char* why) { throw BadFile(index_path, message("shard name ", escaped(name), " ", why)); };
  if (name.empty() || name.front() == '/') bad("is not relative");
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\') bad("holds a control character or a backslash");
  }
  for (const auto& part : fs::path(name)) {
    if (part == "..") bad("leaves the model folder");
  }
}

// A symbolic link must end inside the folder, or in the blobs folder of the same download cache entry
// (snapshots/<revision>/<component>/file -> ../../../blobs/<hash>).
void check_link(const std::string& path, const fs::path& component_folder) {
  std::error_code failure;  // a chain of links that never ends is no regular file either
  if (!fs::is_symlink(path, failure)) return;
  const auto target = fs::weakly_canonical(path, failure);
  if (failure || !fs::is_regular_file(target, failure)) throw BadFile(path, "a symbolic link that leads to no regular file");
  const auto model = fs::weakly_canonical(component_folder).parent_path();
  const auto inside = [&](const fs::path& root) {
    const auto relative = target.lexically_relative(root);
    return !relative.empty() && *relative.begin() != "..";
  };
  if (inside(model)) return;
  for (auto parent = model; parent != parent.root_path(); parent = parent.parent_path()) {
    if (parent.filename() == "snapshots" && inside(parent.parent_path() / "blobs")) return;
  }
  throw BadFile(path, message("a symbolic link that leaves the model folder, to ", target.string()));
}

}  // namespace

WeightFiles::WeightFiles(const std::string& component_folder) : folder_(component_folder) {
  const fs::path folder(component_folder);
  std::error_code failure;
  if (!fs::is_directory(folder, failure)) throw BadFile(component_folder, "no such folder");
  for (const char* stem : kStems) {
    for (const char* variant : {"", ".fp16"}) {
      const auto single = folder / (std::string(stem) + variant + ".safetensors");
      if (fs::exists(fs::symlink_status(single))) {
        check_link(single, folder);
        readers_.push_back(std::make_unique<SafetensorsReader>(single));
        for (const auto& info : readers_.back()->tensors()) entries_.push_back({readers_.back().get(), &info});
        return;
      }
      const auto index = folder / (std::string(stem) + ".safetensors.index" + variant + ".json");
      if (fs::exists(fs::symlink_status(index))) {
        check_link(index, folder);
        open_shards(index);
        return;
      }
    }
  }
  for (const char* pickle : {"diffusion_pytorch_model.bin", "pytorch_model.bin"}) {
    if (fs::exists(folder / pickle)) {
      throw BadFile((folder / pickle).string(),
                    "a pickle file can run code and is not read. Fix: open the model in diffusers once and save it with "
                    "save_pretrained(..., safe_serialization=True)");
    }
  }
  throw BadFile(component_folder, "no weights found (expected diffusion_pytorch_model.safetensors, model.safetensors, "
                                  "their .fp16 variant, or an index of shards)");
}

void WeightFiles::open_shards(const std::string& index_path) {
  const auto index = read_json(index_path);
  if (!index.is_object() || !index.contains("weight_map") || !index["weight_map"].is_object()) {
    throw BadFile(index_path, "no weight_map (expected an object of tensor name to file name)");
  }
  std::map<std::string, std::set<std::string>> named;  // shard -> tensors the index expects there
  for (const auto& [tensor, shard] : index["weight_map"].items()) {
    if (!shard.is_string()) throw BadFile(index_path, message("weight_map of ", escaped(tensor), " is not a string"));
    check_shard_name(index_path, shard.get<std::string>());
    named[shard.get<std::string>()].insert(tensor);
  }
  std::set<std::string> seen;
  uint64_t bytes = 0;
  for (const auto& [shard, tensors] : named) {
    const auto path = (fs::path(folder_) / shard).string();
    if (!fs::exists(fs::symlink_status(path))) throw BadFile(index_path, message("shard ", shard, " is missing. Fix: download it again"));
    check_link(path, folder_);
    readers_.push_back(std::make_unique<SafetensorsReader>(path));
    for (const auto& info : readers_.back()->tensors()) {
      if (!seen.insert(info.name).second) throw BadFile(path, message("tensor ", info.name, " is in two shards"));
      if (!tensors.count(info.name)) throw BadFile(path, message("tensor ", info.name, " is not named by the index for this shard"));
      bytes += info.bytes();
      entries_.push_back({readers_.back().get(), &info});
    }
    for (const auto& tensor : tensors) {
      if (!readers_.back()->find(tensor)) throw BadFile(path, message("tensor ", tensor, " is named by the index and absent from the shard"));
    }
  }
  const auto metadata = index.value("metadata", Json::object());
  if (metadata.is_object() && metadata.contains("total_size") && metadata["total_size"].is_number() &&
      metadata["total_size"].get<double>() != static_cast<double>(bytes)) {
    log_warning(message(index_path, ": metadata.total_size differs from the shards (expected ", bytes, ", got ", metadata["total_size"].dump(), ")"));
  }
}

std::vector<std::string> WeightFiles::paths() const {
  std::vector<std::string> out;
  for (const auto& reader : readers_) out.push_back(reader->path());
  return out;
}

}  // namespace sara
