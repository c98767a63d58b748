// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <memory>
#include <string>
#include <vector>

#include "sara/files/safetensors.h"
#include "sara/weights/key_map.h"

namespace sara {

// The weights of one component of a model, by the names diffusers and transformers give them, wherever they lie: in a folder
// or in a part of a single file.
//
// In a component folder: one safetensors file, or shards with their index, or the fp16 variant of either,
// under the names that diffusers (`diffusion_pytorch_model`) or transformers (`model`) gives them.
class WeightFiles {
 public:
  // Throws BadFile when the folder holds no readable weights (a pickle alone is refused with the way to convert it), a
  // shard is missing, a tensor is in two shards or in a shard the index does not name, or a name leaves the folder.
  explicit WeightFiles(const std::string& component_folder);

  // One tensor of the model that (a part of) a tensor of a file holds.
  struct Piece {
    const TensorInfo* stored;
    std::string name;
    Change change = Change::same;
    int part = 0, parts = 1;
  };
  // Pieces of one open file. `shown` stands for the folder in errors. Throws BadFile for a piece whose shape does not allow its change.
  WeightFiles(std::shared_ptr<const SafetensorsReader> file, std::string shown, const std::vector<Piece>& pieces);

  struct Entry {
    const SafetensorsReader* reader;
    const TensorInfo* info;  // name, type and shape as the model has them
    Change change = Change::same;

    void read(void* out) const;  // info->bytes() row-major elements
  };
  const std::vector<Entry>& entries() const { return entries_; }
  // These and those of other files, as one component.
  WeightFiles with(const WeightFiles& more) const;
  std::vector<std::string> paths() const;
  const std::string& folder() const { return folder_; }

 private:
  void open_shards(const std::string& index_path);

  std::string folder_;
  std::vector<std::shared_ptr<const SafetensorsReader>> readers_;
  std::vector<std::shared_ptr<const TensorInfo>> infos_;  // of pieces; entries point to them
  std::vector<Entry> entries_;
};

// Whether a file of this name holds weights, or is the index of such files.
bool holds_weights(const std::string& file_name);

// The tensor on the CPU, in the file's own type. Throws BadFile for a type torch cannot hold.
torch::Tensor read_tensor(const WeightFiles::Entry& entry);

}  // namespace sara
