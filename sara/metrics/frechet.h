// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// Below this number of pictures FID is mostly its own bias: with no more pictures than features a covariance has not even
// full rank, and the distance between two halves of one set is far from 0.
inline constexpr int64_t kFewPictures = 2048;

// Squared Fréchet distance of the Gaussians with the means and covariances of two sets of features [N, d] and [M, d]:
//   |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)),   S with 1 / (N - 1), as numpy.cov and the published FID.
// In fp64. With factors A^T A = S1 and B^T B = S2, tr (S1 S2)^(1/2) is the sum of the singular values of A B^T: no root of a
// singular matrix is taken and nothing is added to a diagonal. Never below 0.
// Throws InvalidArgument unless both are [at least 2, the same d] and finite.
double frechet_distance(const torch::Tensor& one, const torch::Tensor& other);

}  // namespace sara
