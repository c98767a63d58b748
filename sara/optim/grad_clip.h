// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <vector>

namespace sara {

// The sum of squares of each tensor, accumulated in fp64 in fixed chunks: the same at every thread count.
std::vector<double> squared_norms(at::TensorList tensors);

// The Euclidean norm over all entries of all tensors, from squared_norms(). NaN or infinite exactly when an entry is.
double global_norm(at::TensorList tensors);

// The factor that brings a gradient of this norm down to max_norm; 1 where it is not above, and for max_norm = 0 (none).
double clip_factor(double norm, double max_norm);

}  // namespace sara
