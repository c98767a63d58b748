// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// Q_k S_k^-1 Q_k^T over the singular values s above 1e-3 s_max, from the Gram matrix Q S^2 Q^T, fp32 [n, n]. Rows and columns of zeros
// stay zeros and are left out of the decomposition.
torch::Tensor inverse_root(const torch::Tensor& gram);

// Eigenvalues, ascending, and vectors of a symmetric matrix, fp32. LAPACK's way in fp32, threaded, gives up on some matrices of few
// numbers; those are decomposed in fp64.
struct Eigen {
  torch::Tensor values, vectors;
};
Eigen eigen(const torch::Tensor& symmetric);

}  // namespace sara
