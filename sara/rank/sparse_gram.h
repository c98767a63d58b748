// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// The Gram matrix of the shorter side of a sparse matrix A [rows, columns], `values` (fp32) at the sorted flat `indices` (int32) and 0
// elsewhere: A A^T [rows, rows] where rows <= columns, A^T A otherwise. On the CPU, from pairs of entries: n² / longer side of them
// for n entries, so far less than a dense product while few positions are taken. Sums in fp32.
torch::Tensor sparse_gram(const torch::Tensor& values, const torch::Tensor& indices, int64_t rows, int64_t columns);

}  // namespace sara
