// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sara/sparse/named_tensors.h"

namespace sara {

// A budget in words as a number of weights: a count ("5000", "50M", "1.5k", "2B") or a share of `total` ("5%").
// Throws InvalidArgument unless it is a number above 0 and at most `total`.
int64_t parse_budget(const std::string& budget, int64_t total);

// The threshold whose mask { |p| < threshold } comes nearest to `count` weights (Sec. 4.1; 0 < count <= weights).
// Weights of equal magnitude go together: all in or all out, so that the mask is exactly what the threshold says;
// at equal distance, and when nothing else would be left, they are in. The result is an fp32 number.
// Two histogram passes over the bits of |p| (sparse/ranking.h), no sort and no copy of the model; the same at every thread count.
double threshold_for_count(const NamedTensors& tensors, int64_t count);

}  // namespace sara
