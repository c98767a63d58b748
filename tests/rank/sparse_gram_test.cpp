// SPDX-License-Identifier: Apache-2.0
#include "sara/rank/sparse_gram.h"

#include <gtest/gtest.h>

#include "sara/rank/polar_factor.h"
#include "sara/rank/svd.h"
#include "sara/sparse/gather_scatter.h"

namespace sara {
namespace {

struct Entries {
  torch::Tensor values, indices, dense;
};

Entries entries_of(int64_t rows, int64_t columns, double density) {
  const torch::Tensor indices = torch::rand({rows * columns}).lt(density).nonzero().view(-1).to(torch::kInt), values = torch::randn({indices.numel()});
  const torch::Tensor dense = torch::zeros({rows, columns});
  scatter_(dense, indices, values);
  return {values, indices, dense};
}

constexpr std::pair<int64_t, int64_t> kShapes[] = {{1, 1}, {1, 70}, {70, 1}, {33, 33}, {40, 41}, {41, 40}, {30, 300}, {300, 31}};

TEST(SparseGram, IsTheDenseProductOfTheShorterSide) {
  torch::manual_seed(0);
  for (const auto& [rows, columns] : kShapes)
    for (const double density : {0.0, 0.02, 0.4, 1.1}) {
      const auto [values, indices, dense] = entries_of(rows, columns, density);
      const torch::Tensor wide = (rows <= columns ? dense : dense.t()).to(torch::kDouble), expected = wide.matmul(wide.t()), got = sparse_gram(values, indices, rows, columns);
      ASSERT_EQ(got.sizes(), expected.sizes());
      EXPECT_LE((got - expected).norm().item<double>(), 1e-6 * expected.norm().item<double>()) << rows << "x" << columns << " " << density;
      EXPECT_EQ(gram_pairs(indices, rows, columns), wide.ne(0).sum(0).square().sum().item<double>());
    }
}

// Every way that polar_entries takes: pairs of entries, a dense Gram matrix, all dense; wide and tall.
TEST(PolarEntries, AreThoseOfTheSvd) {
  torch::manual_seed(1);
  for (const auto& [rows, columns] : kShapes)
    for (const double density : {0.1, 0.2, 0.6}) {
      const auto [values, indices, dense] = entries_of(rows, columns, density);
      const torch::Tensor expected = gather(polar_factor_by_svd(dense), indices), got = polar_entries(values * 1e-3, indices, rows, columns);
      ASSERT_EQ(got.sizes(), values.sizes());
      EXPECT_LE((got - expected).norm().item<double>(), 2e-3 * expected.norm().item<double>()) << rows << "x" << columns << " " << density;
    }
  const auto [values, indices, dense] = entries_of(20, 30, 0.1);
  const torch::Tensor order = torch::randperm(indices.numel()), shuffled = polar_entries(values.index_select(0, order), indices.index_select(0, order), 20, 30);
  EXPECT_TRUE(shuffled.allclose(polar_entries(values, indices, 20, 30).index_select(0, order), 1e-4, 1e-5));
  EXPECT_ANY_THROW(sparse_gram(values.flip(0), indices.flip(0), 20, 30));
  EXPECT_ANY_THROW(sparse_gram(values, indices, 10, 30));
  EXPECT_EQ(polar_entries(torch::zeros({3}), torch::tensor({0, 5, 7}, torch::kInt), 4, 4).abs().max().item<float>(), 0);
  EXPECT_EQ(polar_entries(torch::zeros({0}), torch::zeros({0}, torch::kInt), 4, 4).numel(), 0);
}

}  // namespace
}  // namespace sara
