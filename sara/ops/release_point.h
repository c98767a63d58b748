// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// x itself. When its gradient comes by, memory that the backward pass has freed so far and the C library holds on to goes
// back to the system (base/free_memory.h): what grows meanwhile, the gradient, then takes its place. Costs time when that
// memory is wanted again.
torch::Tensor release_point(const torch::Tensor& x);

}  // namespace sara
