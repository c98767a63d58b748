// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <vector>

#include "sara/ops/sampled_entries.h"
#include "sara/ops/token_operand.h"

namespace sara {

// What is wanted of one layer: out[k] += dW[indices[k]] for dW[o, i] = sum_t gradient[t, o] · input[t, i] [out, in], in fp32.
struct SampledLinear {
  torch::Tensor out;
  SampledPositions positions;
  const TokenOperand& gradient;
  torch::Tensor gradient_sums = {};  // [out], fp32: the gradient's sums over tokens are added, for its bias; may be undefined
};

// For layers with the same input. The cost is that of as many dot products as there are indices: no dense gradient exists. Some tokens at a time are
// turned, so that each channel's lie together, of the wider side those channels whose entries come next. The same bits at any thread count.
void sampled_linear_add_(const std::vector<SampledLinear>& layers, const TokenOperand& input);

}  // namespace sara
