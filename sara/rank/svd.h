// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// The oracle: U_k V_k^T of a matrix [m, n] from its fp64 singular value decomposition, over the singular values above
// cutoff * s_max; fp64. Exact and slow; tests and measurements compare the faster paths with it.
torch::Tensor polar_factor_by_svd(const torch::Tensor& matrix, double cutoff = 1e-3);

}  // namespace sara
