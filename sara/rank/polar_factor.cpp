// SPDX-License-Identifier: Apache-2.0
#include "sara/rank/polar_factor.h"

#include <ATen/ops/searchsorted.h>

#include <algorithm>

#include "sara/ops/sampled_linear.h"
#include "sara/rank/inverse_root.h"
#include "sara/rank/polar_express.h"
#include "sara/rank/sparse_gram.h"
#include "sara/sparse/gather_scatter.h"

namespace sara {
namespace {

constexpr double kDenseEntries = 0.3;   // the share of a matrix above which a dense product takes less time than single entries
constexpr double kPairAsProducts = 64;  // a pair of entries takes as long as so many products of a dense matrix (bench/rank_loss)

bool in_order(const torch::Tensor& indices) {
  const int64_t count = indices.numel();
  return count < 2 || indices.narrow(0, 1, count - 1).gt(indices.narrow(0, 0, count - 1)).all().item<bool>();
}

}  // namespace

torch::Tensor polar_factor(const torch::Tensor& matrix) { return matrix.is_cpu() ? polar_factor_by_gram(matrix) : polar_express(matrix); }

torch::Tensor polar_factor_by_gram(const torch::Tensor& matrix) {
  if (matrix.size(0) > matrix.size(1)) return polar_factor_by_gram(matrix.t()).t();
  const double largest = matrix.abs().max().item<double>();
  if (largest == 0) return torch::zeros_like(matrix, torch::kFloat);
  const torch::Tensor x = matrix.to(torch::kFloat) / largest;
  return inverse_root(x.matmul(x.t())).matmul(x);  // the small product first: one of the large ones less
}

torch::Tensor polar_entries(const torch::Tensor& values, const torch::Tensor& indices, int64_t rows, int64_t columns) {
  const auto dense = [&] {
    const torch::Tensor matrix = torch::zeros({rows, columns}, values.options());
    scatter_(matrix, indices, values);
    return matrix;
  };
  const double density = double(values.numel()) / (double(rows) * double(columns));
  if (!values.is_cpu() || indices.scalar_type() != torch::kInt || !indices.is_contiguous() || density > kDenseEntries || !in_order(indices)) return gather(polar_factor(dense()), indices);
  const double largest = values.numel() ? values.abs().max().item<double>() : 0.0;
  if (largest == 0) return torch::zeros_like(values);
  const torch::Tensor unit = values / largest, x = dense().div_(largest);
  const double shorter = double(std::min(rows, columns)), products = shorter * double(rows) * double(columns);
  const auto gram = [&] {
    if (kPairAsProducts * gram_pairs(indices, rows, columns) < products) return sparse_gram(unit, indices, rows, columns);
    return rows <= columns ? x.matmul(x.t()) : x.t().matmul(x);
  };
  const torch::Tensor root = inverse_root(gram()), out = torch::zeros_like(values);
  const torch::Tensor row_starts = torch::searchsorted(indices.to(torch::kLong), torch::arange(0, rows + 1, torch::kLong) * columns);
  if (rows <= columns)  // root x
    sampled_linear_add_({{out, {indices, row_starts}, TokenOperand(root)}}, TokenOperand(x));
  else  // x root, and the tokens of both are x's columns
    sampled_linear_add_({{out, {indices, row_starts}, TokenOperand::of_map(x.unsqueeze(0))}}, TokenOperand(root));
  return out;
}

}  // namespace sara
