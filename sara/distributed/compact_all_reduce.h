// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "sara/distributed/process_group.h"

namespace sara {

// Each tensor <- its mean over the ranks, with the same bits on all of them. A contiguous fp32 tensor, such as the flat compact gradient
// (sparse/values.h), goes as it is in one exchange; the others are added up in fp32 and packed together, up to kPackedWeights an
// exchange, so that many small dense gradients are few messages. Every rank hands over the same shapes in the same order.
// Throws InvalidArgument, on every rank, when they do not.
constexpr int64_t kPackedWeights = 16 << 20;
void compact_all_reduce_(ProcessGroup& group, const std::vector<torch::Tensor>& gradients);

}  // namespace sara
