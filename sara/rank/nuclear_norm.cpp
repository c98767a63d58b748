// SPDX-License-Identifier: Apache-2.0
#include "sara/rank/nuclear_norm.h"

#include <ATen/ops/linalg_eigvalsh.h>

#include <cmath>

#include "sara/rank/polar_factor.h"

namespace sara {

NuclearNorm nuclear_norm(const torch::Tensor& values, const torch::Tensor& indices, int64_t rows, int64_t columns) {
  torch::NoGradGuard no_grad;
  const torch::Tensor gradient = polar_entries(values, indices, rows, columns);
  return {values.to(torch::kDouble).dot(gradient.to(torch::kDouble)).item<double>(), gradient};
}

Spectrum spectrum(const torch::Tensor& matrix) {
  torch::NoGradGuard no_grad;
  const torch::Tensor x = (matrix.size(0) > matrix.size(1) ? matrix.t() : matrix).to(torch::kDouble);
  const torch::Tensor s = at::linalg_eigvalsh(x.matmul(x.t())).clamp_min(0).sqrt();
  const torch::Tensor kept = s.masked_select(s.gt(1e-7 * s.max()));  // the Gram matrix of exact zeros leaves 1e-8 s_max
  const double sum = kept.sum().item<double>();
  if (!(sum > 0)) return {};
  const torch::Tensor share = kept / sum;
  return {sum, std::exp(-(share * share.log()).sum().item<double>())};
}

}  // namespace sara
