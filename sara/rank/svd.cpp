// SPDX-License-Identifier: Apache-2.0
#include "sara/rank/svd.h"

#include <ATen/ops/linalg_svd.h>

namespace sara {

torch::Tensor polar_factor_by_svd(const torch::Tensor& matrix, double cutoff) {
  const auto [u, s, vh] = at::linalg_svd(matrix.to(torch::kDouble), /*full_matrices=*/false);
  if (s.numel() == 0) return torch::zeros_like(matrix, torch::kDouble);
  const torch::Tensor kept = s.gt(cutoff * s[0]).to(torch::kDouble);
  return (u * kept).matmul(vh);
}

}  // namespace sara
