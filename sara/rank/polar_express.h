// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// U V^T of a matrix [m, n], approximately, by matrix products alone: six steps of the Polar Express (2025),
//   X <- a_k X + b_k (X X^T) X + c_k (X X^T)^2 X,
// whose polynomials are the minimax ones for singular values in [1e-3, 1] (tools/polar_express.py derives them).
// fp32 in, fp32 out; tall matrices are computed transposed; zero gives zero.
//
// X starts as the matrix over a bound of its largest singular value that the first step's products give for nothing,
// s_max <= ||(X X^T)^2||_F^(1/4) (1.2 to 1.7 s_max on random masks of 64 to 1280 rows). A singular value s, against that bound,
// becomes 1 within 1e-3 down to s = 1e-3, and at most 2000 s below: 2e-2 at 1e-5, 0 where s is 0. So the cutoff is soft: of
// directions below 1e-3 s_max, which the cutoff drops and the exact gradient counts in full, a part is kept. Masked
// relative error against the fp64 decomposition with the cutoff: below 5e-3, plus up to 1 for each direction below the cutoff.
torch::Tensor polar_express(const torch::Tensor& matrix);

}  // namespace sara
