// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// Sets a contiguous tensor to zero. On the CPU its whole pages go back to the system, which hands out zeros when they are
// next written: until then a large buffer takes no memory.
void zero_and_release_(const torch::Tensor& tensor);

// The first `count` entries of a flat tensor that has its storage to itself, in place; the memory of the others goes back to the
// system, and the storage is that much smaller. Elsewhere than on the CPU a copy.
torch::Tensor cut_(const torch::Tensor& tensor, int64_t count);

}  // namespace sara
