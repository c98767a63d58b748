// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// The Gram matrix of the shorter side of a sparse matrix A [rows, columns], `values` (fp32) at the sorted flat `indices` (int32) and 0
// elsewhere: A A^T [rows, rows] where rows <= columns, A^T A otherwise. On the CPU, from pairs of entries, which are
// far fewer than the products of a dense one while few positions are taken. Sums in fp32. Throws where the indices are not in order.
torch::Tensor sparse_gram(const torch::Tensor& values, const torch::Tensor& indices, int64_t rows, int64_t columns);

// How many pairs that are: of the entries in each line across the shorter side, each with each.
double gram_pairs(const torch::Tensor& indices, int64_t rows, int64_t columns);

}  // namespace sara
