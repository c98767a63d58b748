// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/weights/adapter_sum.h"
#include "sara/weights/model_folder.h"

namespace sara {

// sum_k scale_k delta_k on this model, as adapter_sum(), for adapters that hold weights too: their deltas are taken from the
// model's own weights in the type they had in training. What formats of others, and one adapter from several of this kind, are written
// from.
// Throws BadFile when an adapter does not fit the model, or, unless `force`, was made for another one.
Adapter delta_sum(const ModelFolder& model, const std::vector<ScaledAdapter>& adapters, bool force);

}  // namespace sara
