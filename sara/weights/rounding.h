// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// fp64 numbers rounded once, to nearest even, to fp32, bf16 or fp16. (torch converts to the half types by way of fp32,
// which rounds twice.)
torch::Tensor rounded_once(const torch::Tensor& numbers, at::ScalarType dtype);

}  // namespace sara
