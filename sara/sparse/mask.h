// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/sparse/named_tensors.h"

namespace sara {

// The selected positions of one tensor: sorted flat indices into the contiguous tensor, int32 (int64 where the tensor
// has more than 2^31 elements), on the tensor's device. No boolean mask of the model's size exists anywhere.
struct MaskEntry {
  std::string name;
  torch::Tensor weight;   // the dense tensor itself, not a copy
  torch::Tensor indices;  // [n]
  size_t group = 0;       // parameter group of the optimizer; the entries of one group lie together
};

// One entry per tensor in scope, in registration order; entries may be empty.
using Mask = std::vector<MaskEntry>;

}  // namespace sara
