// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace sara {

// The element types a safetensors file can name. All can be read and written; which of them a model can use is
// decided where tensors are made (sara/weights/precision.h).
enum class DType {
  BOOL, U8, I8, F8_E5M2, F8_E4M3, F8_E8M0, F8_E4M3FNUZ, F8_E5M2FNUZ,  // 8 bits
  I16, U16, F16, BF16,                                                 // 16
  I32, U32, F32,                                                       // 32
  I64, U64, F64, C64,                                                  // 64
  F4, F6_E2M3, F6_E3M2,                                                // 4, 6, 6
};

size_t bits(DType dtype);            // of one element
std::string_view name(DType dtype);  // as spelt in the file, "BF16"
std::optional<DType> dtype_named(std::string_view name);

}  // namespace sara
