// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sara/files/input_file.h"
#include "sara/files/safetensors_header.h"

namespace sara {

// Opens a file and checks all of it but the values before anything is allocated by its word; then hands out tensors.
// read() may be called from many threads at once. Throws BadFile and IoError.
class SafetensorsReader {
 public:
  explicit SafetensorsReader(const std::string& path);

  const std::string& path() const { return file_.path(); }
  const std::vector<TensorInfo>& tensors() const { return header_.tensors; }  // in the order of their data
  const TensorInfo* find(std::string_view name) const;                        // nullptr: no such tensor
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }

  // Copies the tensor's bytes() bytes to out. `tensor` is one of tensors().
  void read(const TensorInfo& tensor, void* out) const;

 private:
  InputFile file_;
  uint64_t data_start_ = 0;
  SafetensorsHeader header_;
  std::unordered_map<std::string_view, size_t> index_;  // views of the names in header_
};

}  // namespace sara
