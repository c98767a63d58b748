// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// Sets a contiguous tensor to zero. On the CPU its whole pages go back to the system, which hands out zeros when they are
// next written: until then a large buffer takes no memory.
void zero_and_release_(const torch::Tensor& tensor);

}  // namespace sara
