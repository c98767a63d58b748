// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "sara/ops/vectorized.h"

namespace sara {

// Sums that the gradients of biases are made of, in fp32 whatever the numbers' type, each within 2e-6 of the sum of magnitudes.
torch::Tensor sum_over_tokens(const torch::Tensor& tokens);   // [..., C] -> [C]
torch::Tensor sum_over_positions(const torch::Tensor& map);   // [B, C, ...] -> [B, C]

// Of neighbouring numbers, likewise: what sum_over_positions() adds up of a channel.
float sum_of_line(const float* from, int64_t count);
float sum_of_line(const bf16_bits* from, int64_t count);

}  // namespace sara
