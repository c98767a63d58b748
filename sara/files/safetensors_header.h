// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sara/files/dtype.h"

namespace sara {

inline constexpr uint64_t kLongestSafetensorsHeader = 100'000'000;  // bytes, as in the reference

// One tensor of a safetensors file: row-major elements in bytes [begin, end) of the data section.
struct TensorInfo {
  std::string name;
  DType dtype = DType::F32;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;

  uint64_t bytes() const { return end - begin; }
  int64_t numel() const;  // product of shape; 1 for rank 0
};

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;  // by (begin, end, name): the order in which the data lies
  std::map<std::string, std::string> metadata;
  uint64_t data_bytes() const { return tensors.empty() ? 0 : tensors.back().end; }
};

// Number of bytes of `shape` elements of `dtype`. Empty when it does not fit 64 bits or is no whole number of bytes, or
// when the non-zero sizes multiply past 2^48 elements: then a product in another order could wrap.
std::optional<uint64_t> tensor_bytes(DType dtype, const std::vector<int64_t>& shape);

// Why no tensor may have this name ("is empty", "holds a control character"), if so.
std::optional<std::string> name_defect(std::string_view name);

// Parses and checks the JSON part: every field's type, every tensor's size, and that the tensors cover the data section
// from 0 on with no hole and no overlap. Unknown extra fields, any key order and blanks around the object are legal.
// Beyond the reference it refuses duplicate keys, empty names, control characters in names and sizes past 2^48.
// Throws BadFile(source), offsets counted from `start`, the header's place in the file.
SafetensorsHeader parse_safetensors_header(std::string_view text, const std::string& source, uint64_t start);

}  // namespace sara
