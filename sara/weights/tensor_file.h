// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <map>
#include <string>

#include "sara/files/safetensors.h"

namespace sara {

using TensorMap = std::map<std::string, torch::Tensor>;

// One tensor of an open file, on the CPU, in the file's own element type. Throws BadFile for a type torch cannot hold.
torch::Tensor read_tensor(const SafetensorsReader& reader, const TensorInfo& info);

// A whole safetensors file as CPU tensors. Throws BadFile or IoError.
TensorMap load_tensors(const std::string& path);

// Writes tensors of any device and layout, atomically; equal content gives equal bytes.
void save_tensors(const std::string& path, const TensorMap& tensors, const std::map<std::string, std::string>& metadata = {});

}  // namespace sara
