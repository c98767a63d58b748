// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <functional>
#include <vector>

namespace sara {

// block(inputs), of which only the inputs are kept: backward runs the block again. The block's parameters get their gradients
// during that second run, as anywhere; it must give the same result twice. Inputs must be defined.
torch::Tensor checkpoint(const std::function<torch::Tensor(const std::vector<torch::Tensor>&)>& block, const std::vector<torch::Tensor>& inputs);

}  // namespace sara
