// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sara/files/safetensors.h"

namespace sara {

// The weights of one component folder: one safetensors file, or shards with their index, or the fp16 variant of either,
// under the names that diffusers (`diffusion_pytorch_model`) or transformers (`model`) gives them.
class WeightFiles {
 public:
  // Throws BadFile when the folder holds no readable weights (a pickle alone is refused with the way to convert it), a
  // shard is missing, a tensor is in two shards or in a shard the index does not name, or a name leaves the folder.
  explicit WeightFiles(const std::string& component_folder);

  struct Entry {
    const SafetensorsReader* reader;
    const TensorInfo* info;
  };
  const std::vector<Entry>& entries() const { return entries_; }
  std::vector<std::string> paths() const;
  const std::string& folder() const { return folder_; }

 private:
  void open_shards(const std::string& index_path);

  std::string folder_;
  std::vector<std::unique_ptr<SafetensorsReader>> readers_;
  std::vector<Entry> entries_;
};

}  // namespace sara
