// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <string>
#include <utility>
#include <vector>

namespace sara {

// Tensors with the names they are saved under, in registration order: what a module's named_parameters() lists.
using NamedTensors = std::vector<std::pair<std::string, torch::Tensor>>;

}  // namespace sara
