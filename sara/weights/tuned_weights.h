// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>

#include "sara/weights/shards.h"
#include "sara/weights/tensor_file.h"

namespace sara {

// The weights of another, tuned copy of a model by adapter keys ("unet.conv_in.weight"), read from the disk one tensor at a time.
class TunedWeights {
 public:
  // path: a folder in diffusers' layout, a single file of a whole model, or a .safetensors file with such keys, as full fine-tuning writes.
  // Throws BadFile, IoError.
  explicit TunedWeights(std::string path);

  const std::string& path() const { return path_; }
  bool is_model() const { return files_ != nullptr; }
  const std::map<std::string, WeightFiles::Entry>& entries() const { return entries_; }
  torch::Tensor tensor(const std::string& key) const;  // as stored. Throws BadFile when there is none of this name

 private:
  std::string path_;
  std::unique_ptr<SafetensorsReader> file_;  // one of the two
  std::unique_ptr<WeightFiles> files_;
  std::map<std::string, WeightFiles::Entry> entries_;
};

}  // namespace sara
