// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/tensor_file.h"

#include <torch/types.h>

#include "sara/base/error.h"
#include "sara/weights/precision.h"

namespace sara {

torch::Tensor read_tensor(const SafetensorsReader& reader, const TensorInfo& info) {
  const auto dtype = torch_dtype(info.dtype);
  if (!dtype) throw BadFile(reader.path(), message("tensor ", info.name, " has element type ", name(info.dtype), ", which cannot be loaded"));
  auto tensor = torch::empty(info.shape, *dtype);
  reader.read(info, tensor.data_ptr());
  return tensor;
}

TensorMap load_tensors(const std::string& path) {
  const SafetensorsReader reader(path);
  TensorMap tensors;
  for (const auto& info : reader.tensors()) tensors.emplace(info.name, read_tensor(reader, info));
  return tensors;
}

void save_tensors(const std::string& path, const TensorMap& tensors, const std::map<std::string, std::string>& metadata) {
  std::vector<torch::Tensor> held;  // contiguous CPU copies live until the file is written
  std::vector<TensorSource> sources;
  for (const auto& [name, tensor] : tensors) {
    held.push_back(tensor.detach().to(torch::kCPU).contiguous());
    const auto& copy = held.back();
    sources.push_back({name, file_dtype(copy.scalar_type()), copy.sizes().vec(), copy.data_ptr()});
  }
  write_safetensors(path, std::move(sources), metadata);
}

}  // namespace sara
