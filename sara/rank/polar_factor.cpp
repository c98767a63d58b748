// SPDX-License-Identifier: Apache-2.0
#include "sara/rank/polar_factor.h"

#include <ATen/ops/linalg_eigh.h>

#include "sara/rank/polar_express.h"

namespace sara {

torch::Tensor polar_factor(const torch::Tensor& matrix) { return matrix.is_cpu() ? polar_factor_by_gram(matrix) : polar_express(matrix); }

torch::Tensor polar_factor_by_gram(const torch::Tensor& matrix) {
  constexpr double kCutoff = 1e-3;  // of s_max
  if (matrix.size(0) > matrix.size(1)) return polar_factor_by_gram(matrix.t()).t();
  const double largest = matrix.abs().max().item<double>();
  if (largest == 0) return torch::zeros_like(matrix, torch::kFloat);
  const torch::Tensor x = matrix.to(torch::kFloat) / largest;
  const auto [squares, q] = at::linalg_eigh(x.matmul(x.t()));
  const torch::Tensor s = squares.clamp_min(0).sqrt();  // ascending
  const torch::Tensor inverse = torch::where(s.gt(kCutoff * s[-1]), s.reciprocal(), torch::zeros_like(s));
  return (q * inverse).matmul(q.t()).matmul(x);  // the small product first: one of the large ones less
}

}  // namespace sara
