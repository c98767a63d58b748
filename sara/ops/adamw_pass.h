// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "sara/ops/adamw_step.h"
#include "sara/sparse/values.h"

namespace sara {

// One tensor in a pass. `gradient`: [n] fp32, used instead of its span of the gradient buffer; undefined: the span itself.
struct PassSlot {
  size_t slot;  // of values.slots()
  torch::Tensor gradient = {};
};

// The optimizer step of whole tensors as one pass over memory: gradient, moments and values are read once, updated
// (ops/adamw_step.h), and the values go straight into the dense weights, rounded to nearest in the weight's dtype. The base is
// read in its own dtype; with decay_to_base decay pulls to it, otherwise to zero. groups: one AdamWStep for each parameter group.
// 8-bit moments are widened, updated in fp32 and rounded again block by block. Bits do not depend on the thread count.
//
// clip, for values on a device with kernels (cuda/kernels.h) alone: what norm_and_clip gave there. Its factor is read on the device, so
// that the host need not wait for the norm; where that is not finite nothing changes.
void adamw_pass_(const Values& values, const std::vector<PassSlot>& slots, const std::vector<AdamWStep>& groups, bool decay_to_base, const torch::Tensor& clip = {});

}  // namespace sara
