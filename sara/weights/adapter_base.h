// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/weights/adapter.h"

namespace sara {

// The type the base had in memory while the adapter was trained (metadata: precision, or that of config; fp32 when neither
// says). Its base hashes are of the bytes in that type, whatever the base file holds.
c10::ScalarType training_dtype(const Adapter& adapter);

// Throws BadFile unless the adapter was made for this base. `model`: tensors by the adapters' keys, unchanged, in a type that
// holds the base file's numbers exactly; they are compared after conversion to the adapter's training_dtype.
void require_base(const Adapter& adapter, const NamedTensors& model, const std::string& family);

}  // namespace sara
