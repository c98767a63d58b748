// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "sara/files/dtype.h"

namespace sara {

// A tensor to be written. `data` points at its row-major, little-endian elements and stays owned by the caller;
// it may be null when the tensor has no elements, or when `fill` is there: that writes the elements into the room it is
// given, when their turn comes, so that a file of many tensors needs memory for one.
struct TensorSource {
  std::string name;
  DType dtype = DType::F32;
  std::vector<int64_t> shape;
  const void* data = nullptr;
  std::function<void(void*)> fill = {};
};

// Writes a safetensors file atomically (sara/files/atomic_file.h). Tensors lie by element size, largest first, then by name, so
// every one is aligned to its element; the header is padded with blanks to a multiple of 8. The order of `tensors` does not
// matter: equal content gives equal bytes. Throws InvalidArgument for what the reader would refuse (a name given twice, empty or
// with control characters, an impossible shape, text that is not UTF-8), IoError when the disk refuses.
void write_safetensors(const std::string& path, std::vector<TensorSource> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace sara
