// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// U V^T of a matrix [m, n] over the singular values above 1e-3 s_max, by its Gram matrix and one eigendecomposition:
//   X X^T = Q S^2 Q^T,  U V^T = Q_k S_k^-1 Q_k^T X   (on X^T where m > n).
// fp32 in, fp32 out. Near-square matrices (long side < 1.5 x short side) are computed in fp64, because there a fp32 Gram
// matrix is at its noise floor at the cutoff; others in fp32, scaled to entries of at most 1. Zero gives zero.
torch::Tensor polar_factor(const torch::Tensor& matrix);

struct NuclearNorm {
  double value;            // <A, U V^T> = the sum of the singular values above the cutoff
  torch::Tensor gradient;  // [n] fp32, (U V^T) at the mask
};

// The rank loss of one matrix parameter (Sec. 4.2, Eq. 4-6): A [rows, columns] is `values` at the flat `indices` and 0
// elsewhere; the loss is ||A||_* and its subgradient U V^T on the mask, with W = 0 (Eq. 5) where A is rank-deficient.
NuclearNorm nuclear_norm(const torch::Tensor& values, const torch::Tensor& indices, int64_t rows, int64_t columns);

}  // namespace sara
