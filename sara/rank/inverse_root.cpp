// SPDX-License-Identifier: Apache-2.0
#include "sara/rank/inverse_root.h"

#include <ATen/ops/linalg_eigh.h>
#include <c10/util/Exception.h>

namespace sara {
namespace {

constexpr double kCutoff = 1e-3;  // of s_max

torch::Tensor full_inverse_root(const torch::Tensor& gram) {
  const auto [squares, q] = eigen(gram);
  const torch::Tensor s = squares.clamp_min(0).sqrt();
  const torch::Tensor inverse = torch::where(s.gt(kCutoff * s[-1]), s.reciprocal(), torch::zeros_like(s));
  return (q * inverse).matmul(q.t());
}

}  // namespace

torch::Tensor inverse_root(const torch::Tensor& gram) {
  const torch::Tensor taken = gram.diagonal().ne(0).nonzero().view(-1);
  if (taken.numel() == gram.size(0)) return full_inverse_root(gram);
  torch::Tensor root = torch::zeros_like(gram);
  if (taken.numel()) root.index_put_({taken.unsqueeze(1), taken}, full_inverse_root(gram.index_select(0, taken).index_select(1, taken)));
  return root;
}

Eigen eigen(const torch::Tensor& symmetric) {
  try {
    const auto [values, vectors] = at::linalg_eigh(symmetric);
    return {values, vectors};
  } catch (const c10::LinAlgError&) {
    const auto [values, vectors] = at::linalg_eigh(symmetric.to(torch::kDouble));
    return {values.to(torch::kFloat), vectors.to(torch::kFloat)};
  }
}

}  // namespace sara
