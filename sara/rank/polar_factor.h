// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// U V^T of a matrix [m, n], fp32: by polar_factor_by_gram() on a CPU, where it is the faster of the two for the matrices that
// cost anything (bench/rank_loss.cpp), and by polar_express(), matrix products alone, elsewhere.
torch::Tensor polar_factor(const torch::Tensor& matrix);

// U V^T over the singular values above 1e-3 s_max, by the Gram matrix and one eigendecomposition:
//   X X^T = Q S^2 Q^T,  U V^T = Q_k S_k^-1 Q_k^T X   (on X^T where m > n).
// fp32 throughout, X scaled to entries of at most 1; zero gives zero. The rounding of X X^T, 1e-7 s_max^2, is a tenth of the
// cutoff's square, 1e-6 s_max^2: a singular value within 15 % of the cutoff may fall to either side of it. Otherwise the masked
// relative error against the fp64 decomposition is below 2e-3 (1e-4 on masks without values near the cutoff).
torch::Tensor polar_factor_by_gram(const torch::Tensor& matrix);

// polar_factor() at the entries of a sparse matrix alone, `values` [n] at the sorted flat `indices` [n] and 0 elsewhere -> [n]. On a CPU it costs
// what the entries need beside the eigendecomposition: the Gram matrix from pairs of them while they are few (rank/sparse_gram.h), the result from
// one dot product each (ops/sampled_linear.h). Of more than three tenths of a matrix, or out of order, it is the dense one, gathered.
torch::Tensor polar_entries(const torch::Tensor& values, const torch::Tensor& indices, int64_t rows, int64_t columns);

}  // namespace sara
