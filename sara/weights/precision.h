// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <optional>
#include <string>

#include "sara/files/safetensors.h"

namespace sara {

// torch's element type for a file's; nothing for a type torch cannot hold.
std::optional<c10::ScalarType> torch_dtype(DType dtype);

// The way back. Throws InvalidArgument for a type the file format has no name for.
DType file_dtype(c10::ScalarType dtype);

// "fp32", "bf16", "fp16" (also "no" = fp32, as diffusers' --mixed_precision) to a torch type.
c10::ScalarType dtype_from_precision(const std::string& precision);
std::string precision_name(c10::ScalarType dtype);

}  // namespace sara
