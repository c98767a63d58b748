// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/weights/convert.h"

namespace sara {

// The type a tensor is written in.
DType written_dtype(const TensorInfo& info, const ConvertOptions& options);

// The tensor as it is written: read or changed, in the written type. Throws InvalidArgument when a number overflows that type.
torch::Tensor written_tensor(const std::string& component, const WeightFiles::Entry& entry, const ChangedTensors& changed, const ConvertOptions& options);

// Copies a contiguous CPU tensor's bytes to out.
void copy_bytes(const torch::Tensor& tensor, void* out);

}  // namespace sara
