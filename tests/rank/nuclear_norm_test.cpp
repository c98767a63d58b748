// SPDX-License-Identifier: Apache-2.0
#include "sara/rank/nuclear_norm.h"

#include <ATen/ops/linalg_svdvals.h>
#include <gtest/gtest.h>

#include "sara/rank/svd.h"
#include "sara/sparse/gather_scatter.h"

namespace sara {
namespace {

struct Sparse {
  torch::Tensor values, indices;
};

Sparse random_mask(int64_t rows, int64_t columns, double density) {
  const torch::Tensor indices = torch::rand({rows * columns}).lt(density).nonzero().view(-1).to(torch::kInt);
  return {torch::randn({indices.numel()}).mul_(1e-3), indices};
}

double relative_error(const torch::Tensor& a, const torch::Tensor& b) {
  return ((a.to(torch::kDouble) - b).norm() / b.norm()).item<double>();
}

TEST(NuclearNorm, OfADiagonalIsTheSumAndTheGradientTheSigns) {
  const NuclearNorm norm = nuclear_norm(torch::tensor({3.0f, -2.0f}), torch::tensor({0, 4}, torch::kInt), 2, 3);
  EXPECT_NEAR(norm.value, 5, 1e-6);
  EXPECT_TRUE(norm.gradient.allclose(torch::tensor({1.0f, -1.0f}), 1e-6, 1e-6));
}

TEST(NuclearNorm, GradientIsThatOfTheSvdOnWideTallAndSquareMasks) {
  torch::manual_seed(1);
  for (const auto& [rows, columns] : {std::pair{40, 40}, {64, 60}, {30, 200}, {200, 30}, {1, 50}, {50, 1}}) {
    const auto [values, indices] = random_mask(rows, columns, 0.3);
    const torch::Tensor dense = torch::zeros({rows, columns});
    scatter_(dense, indices, values);
    const NuclearNorm norm = nuclear_norm(values, indices, rows, columns);
    EXPECT_LT(relative_error(norm.gradient, gather(polar_factor_by_svd(dense), indices)), 1e-3) << rows << "x" << columns;
    EXPECT_NEAR(norm.value, at::linalg_svdvals(dense.to(torch::kDouble)).sum().item<double>(), 2e-3 * norm.value);
  }
}

TEST(NuclearNorm, DropsTheDirectionsThatAreNotThere) {
  torch::manual_seed(2);
  for (const auto& [rows, columns] : {std::pair{48, 48}, {32, 160}}) {
    const torch::Tensor low = torch::randn({rows, 3}).matmul(torch::randn({3, columns}));  // rank 3
    const torch::Tensor polar = polar_factor(low);
    EXPECT_LT(relative_error(polar, polar_factor_by_svd(low)), 1e-3);
    EXPECT_NEAR(polar.norm().item<double>(), std::sqrt(3.0), 1e-3);
    torch::Tensor holes = torch::randn({rows, columns});
    holes.narrow(0, 5, 10).zero_();
    EXPECT_LT(relative_error(polar_factor(holes), polar_factor_by_svd(holes)), 1e-3);
  }
  EXPECT_EQ(polar_factor(torch::zeros({3, 5})).abs().max().item<float>(), 0);
  EXPECT_TRUE(polar_factor(torch::full({3, 4}, 1e-30f)).allclose(torch::full({3, 4}, 1 / std::sqrt(12.0f)), 1e-4, 1e-5));
}

TEST(NuclearNorm, GradientAgreesWithFiniteDifferences) {
  torch::manual_seed(3);
  const auto [values, indices] = random_mask(12, 20, 0.6);
  const NuclearNorm norm = nuclear_norm(values, indices, 12, 20);
  const auto loss = [&](const torch::Tensor& v) {
    return at::linalg_svdvals(torch::zeros({240}, torch::kDouble).index_copy(0, indices.to(torch::kLong), v).view({12, 20})).sum().item<double>();
  };
  for (int64_t k = 0; k < values.numel(); k += 7) {
    torch::Tensor up = values.to(torch::kDouble), down = up.clone();
    up[k] += 1e-7;
    down[k] -= 1e-7;
    EXPECT_NEAR(norm.gradient[k].item<double>(), (loss(up) - loss(down)) / 2e-7, 1e-3);
  }
}

}  // namespace
}  // namespace sara
