// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

struct NuclearNorm {
  double value;            // <A, U V^T> = the sum of the singular values that polar_factor() keeps
  torch::Tensor gradient;  // [n] fp32, (U V^T) at the mask
};

// The rank loss of one matrix parameter (Sec. 4.2, Eq. 4-6): A [rows, columns] is `values` at the flat `indices` and 0
// elsewhere; the loss is ||A||_* and its subgradient U V^T on the mask, with W = 0 (Eq. 5) where A is rank-deficient.
// U V^T comes from rank/polar_factor.h.
NuclearNorm nuclear_norm(const torch::Tensor& values, const torch::Tensor& indices, int64_t rows, int64_t columns);

// How low the rank of a matrix is, from its singular values s_i in fp64, zeros left out:
struct Spectrum {
  double nuclear_norm = 0;    // sum of s_i
  double effective_rank = 0;  // exp of the entropy of s_i / sum s: k equal values give k, one that dominates gives 1, zero gives 0
};
Spectrum spectrum(const torch::Tensor& matrix);

}  // namespace sara
