// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <optional>

namespace sara {

// A function of autograd takes what may be missing as an optional; everywhere else that is an undefined tensor.
using OptionalTensor = std::optional<torch::Tensor>;

inline OptionalTensor optional(const torch::Tensor& tensor) { return tensor.defined() ? OptionalTensor(tensor) : std::nullopt; }
inline torch::Tensor or_undefined(const OptionalTensor& tensor) { return tensor.value_or(torch::Tensor()); }

}  // namespace sara
