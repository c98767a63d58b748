// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "sara/weights/adapter.h"

namespace sara {

struct ScaledAdapter {
  Adapter adapter;
  double scale = 1.0;
};

// One adapter that does at scale 1 what several do together: mask = union of the masks, delta = sum_k scale_k delta_k, summed in
// fp64 and stored in fp32. Positions where the sum is exactly 0 stay in the mask.
// Throws BadFile when an adapter holds weights instead of deltas, or two were made for different bases (base hash, family or
// training type) unless `force`; InvalidArgument when there is none.
Adapter adapter_sum(const std::vector<ScaledAdapter>& adapters, bool force = false);

}  // namespace sara
