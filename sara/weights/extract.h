// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/weights/adapter.h"
#include "sara/weights/model_folder.h"
#include "sara/weights/tuned_weights.h"

namespace sara {

// The adapter that makes the tuned denoiser of its base: mask = the positions whose stored bits differ. fp32 tensors are kept as
// values; bf16 and fp16 tensors as fp32 deltas, or as values where no fp32 delta gives the tuned bits back (the sign of a zero, a
// tuned weight 2^24 times smaller than its base). Applied at scale 1 to the base it gives the tuned weights bit for bit.
// Throws BadFile when names, shapes or types of the two differ, tuned weights are NaN or infinite, or (unless `force`, then they are
// left out) another component of a tuned folder differs from the base; InvalidArgument when nothing differs, or, unless `force`,
// more than half of the weights.
Adapter extract_adapter(const ModelFolder& base, const TunedWeights& tuned, bool force);

// One tensor's part of it: what differs between two tensors of one shape and type (fp32, bf16 or fp16). CPU.
AdapterTensor extract_tensor(const torch::Tensor& base, const torch::Tensor& tuned);

}  // namespace sara
