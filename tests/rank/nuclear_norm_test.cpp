// SPDX-License-Identifier: Apache-2.0
#include "sara/rank/nuclear_norm.h"

#include <ATen/ops/linalg_qr.h>
#include <ATen/ops/linalg_svdvals.h>
#include <gtest/gtest.h>

#include "sara/rank/polar_express.h"
#include "sara/rank/polar_factor.h"
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
    const torch::Tensor polar = polar_factor_by_gram(low);
    EXPECT_LT(relative_error(polar, polar_factor_by_svd(low)), 1e-3);
    EXPECT_NEAR(polar.norm().item<double>(), std::sqrt(3.0), 1e-3);
    torch::Tensor holes = torch::randn({rows, columns});
    holes.narrow(0, 5, 10).zero_();
    EXPECT_LT(relative_error(polar_factor_by_gram(holes), polar_factor_by_svd(holes)), 1e-3);
  }
  EXPECT_EQ(polar_factor(torch::zeros({3, 5})).abs().max().item<float>(), 0);
  EXPECT_TRUE(polar_factor(torch::full({3, 4}, 1e-30f)).allclose(torch::full({3, 4}, 1 / std::sqrt(12.0f)), 1e-4, 1e-5));
}

torch::Tensor sparse_matrix(int64_t rows, int64_t columns, double density) { return torch::randn({rows, columns}) * torch::rand({rows, columns}).lt(density) * 1e-3; }

std::vector<std::pair<std::string, torch::Tensor>> every_kind_of_matrix() {
  std::vector<std::pair<std::string, torch::Tensor>> out;
  for (const auto& [rows, columns] : {std::pair{1, 50}, {1, 3000}, {700, 1}, {3, 3}, {64, 64}, {64, 60}, {64, 192}, {192, 64}, {224, 224}, {320, 320}, {128, 1152}})
    for (const double density : {0.06, 0.3, 1.0}) out.emplace_back(std::to_string(rows) + "x" + std::to_string(columns), sparse_matrix(rows, columns, density));
  for (const auto& [rows, columns] : {std::pair{64, 64}, {48, 160}, {320, 320}}) {
    out.emplace_back("low rank", torch::randn({rows, 3}).matmul(torch::randn({3, columns})));
    out.emplace_back("low rank, masked", torch::randn({rows, 3}).matmul(torch::randn({3, columns})) * torch::rand({rows, columns}).lt(0.2));
    torch::Tensor twins = sparse_matrix(rows, columns, 0.1);
    twins.narrow(0, rows / 2, rows / 2).copy_(twins.narrow(0, 0, rows / 2));
    out.emplace_back("every row twice", twins);
    torch::Tensor holes = sparse_matrix(rows, columns, 0.3);
    holes.narrow(0, 5, 10).zero_();
    holes.narrow(1, 7, 20).zero_();
    out.emplace_back("empty rows and columns", holes);
  }
  return out;
}

// A singular value below the cutoff is dropped by the definition and kept in part by the products (the next test): each
// such direction may differ by up to 1. Everything else is within half a percent.
TEST(PolarExpress, MaskedErrorIsBelowHalfAPercentOnEveryKindOfMatrix) {
  torch::manual_seed(4);
  int64_t strict = 0;
  for (const auto& [name, matrix] : every_kind_of_matrix()) {
    const torch::Tensor mask = matrix.ne(0), exact = polar_factor_by_svd(matrix).masked_select(mask);
    if (exact.numel() == 0) continue;
    const torch::Tensor s = at::linalg_svdvals(matrix.to(torch::kDouble)) / at::linalg_svdvals(matrix.to(torch::kDouble)).max();
    const double below = (s.lt(1e-3) & s.gt(1e-7)).sum().item<double>(), scale = exact.norm().item<double>();
    strict += below == 0;
    EXPECT_LT(relative_error(polar_express(matrix).masked_select(mask), exact), 5e-3 + std::sqrt(below) / scale) << name;
    // In fp32 the Gram matrix tells a singular value from the cutoff to about a tenth: one that lies there may fall to either side.
    const double at_cutoff = (s.gt(8.5e-4) & s.lt(1.15e-3)).sum().item<double>();
    EXPECT_LT(relative_error(polar_factor_by_gram(matrix).masked_select(mask), exact), 2e-3 + std::sqrt(at_cutoff) / scale) << name;
  }
  EXPECT_GE(strict, 38);  // of 45
  EXPECT_EQ(polar_express(torch::zeros({60, 60})).abs().max().item<float>(), 0);
}

TEST(PolarExpress, SingularValuesBelowTheCutoffFadeInsteadOfBeingDropped) {
  const std::vector<float> s = {1, 0.5, 1e-2, 2e-3, 1e-3, 1e-4, 1e-5, 1e-6, 0};
  const torch::Tensor singular = torch::tensor(s);
  const auto [q, r] = at::linalg_qr(torch::randn({60, 60}, torch::kDouble));
  const auto [p, t] = at::linalg_qr(torch::randn({60, 60}, torch::kDouble));
  const int64_t n = singular.numel();
  const torch::Tensor matrix = (q.narrow(1, 0, n) * singular).matmul(p.narrow(1, 0, n).t()).to(torch::kFloat);
  const torch::Tensor became = (q.narrow(1, 0, n) * polar_express(matrix).to(torch::kDouble).matmul(p.narrow(1, 0, n))).sum(0);
  for (int64_t i = 0; i < n; ++i) {
    const double value = became[i].item<double>();
    if (s[i] >= 2e-3) EXPECT_NEAR(value, 1, 2e-3) << s[i];
    else if (s[i] >= 1e-3f) EXPECT_NEAR(value, 1, 2e-2) << s[i];
    else EXPECT_NEAR(value, 0, 2000 * s[i] + 1e-3) << s[i];
  }
  EXPECT_GT(became[5].item<double>(), 0.05);  // a hard cutoff would give 0
}

TEST(Spectrum, EffectiveRankCountsEqualValuesAndSeesOneThatDominates) {
  const auto [norm, rank] = spectrum(torch::diag(torch::tensor({2.0f, 2.0f, 2.0f, 0.0f})));
  EXPECT_NEAR(norm, 6, 1e-9);
  EXPECT_NEAR(rank, 3, 1e-9);
  EXPECT_NEAR(spectrum(torch::ones({30, 7})).effective_rank, 1, 1e-5);
  EXPECT_NEAR(spectrum(torch::ones({30, 7})).nuclear_norm, std::sqrt(210.0), 1e-4);
  const torch::Tensor two = torch::diag(torch::tensor({3.0f, 1.0f}));
  EXPECT_NEAR(spectrum(two).effective_rank, std::exp(-(0.75 * std::log(0.75) + 0.25 * std::log(0.25))), 1e-9);
  EXPECT_EQ(spectrum(torch::zeros({4, 5})).effective_rank, 0);
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
