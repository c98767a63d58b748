// SPDX-License-Identifier: Apache-2.0
#include "sara/rank/nuclear_norm.h"

#include <ATen/ops/linalg_eigh.h>

#include "sara/sparse/gather_scatter.h"

namespace sara {

torch::Tensor polar_factor(const torch::Tensor& matrix) {
  constexpr double kCutoff = 1e-3;  // of s_max
  if (matrix.size(0) > matrix.size(1)) return polar_factor(matrix.t()).t();
  const double largest = matrix.abs().max().item<double>();
  if (largest == 0) return torch::zeros_like(matrix);
  const bool near_square = 2 * matrix.size(1) < 3 * matrix.size(0);
  const torch::Tensor x = matrix.to(near_square ? torch::kDouble : torch::kFloat) / largest;
  const auto [squares, q] = at::linalg_eigh(x.matmul(x.t()));
  const torch::Tensor s = squares.clamp_min(0).sqrt();  // ascending
  const torch::Tensor inverse = torch::where(s.gt(kCutoff * s[-1]), s.reciprocal(), torch::zeros_like(s));
  return (q * inverse).matmul(q.t().matmul(x)).to(torch::kFloat);
}

NuclearNorm nuclear_norm(const torch::Tensor& values, const torch::Tensor& indices, int64_t rows, int64_t columns) {
  torch::NoGradGuard no_grad;
  const torch::Tensor dense = torch::zeros({rows, columns}, values.options());
  scatter_(dense, indices, values);
  const torch::Tensor gradient = gather(polar_factor(dense), indices);
  return {values.to(torch::kDouble).dot(gradient.to(torch::kDouble)).item<double>(), gradient};
}

}  // namespace sara
