// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// Sums that the gradients of biases are made of, in fp32 whatever the numbers' type, each within a few units of fp32's last place.
torch::Tensor sum_over_tokens(const torch::Tensor& tokens);   // [..., C] -> [C]
torch::Tensor sum_over_positions(const torch::Tensor& map);   // [B, C, ...] -> [B, C]

}  // namespace sara
