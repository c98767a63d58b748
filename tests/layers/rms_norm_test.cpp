// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/rms_norm.h"

#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cmath>

namespace sara {
namespace {

RmsNorm ones(int64_t channels, double eps, c10::ScalarType dtype = torch::kFloat32) {
  RmsNorm norm(channels, eps, torch::dtype(dtype));
  const torch::NoGradGuard no_grad;
  norm.weight.fill_(1);
  return norm;
}

TEST(RmsNorm, DividesByTheRootOfTheMeanSquareAndKeepsTheMean) {
  auto norm = ones(2, 0);
  const auto y = norm.forward(torch::tensor({{3.0f, 4.0f}, {-5.0f, 5.0f}}));
  EXPECT_TRUE(y.allclose(torch::tensor({{3.0f, 4.0f}, {-5.0f, 5.0f}}) / torch::tensor({{std::sqrt(12.5f)}, {5.0f}})));
  {
    const torch::NoGradGuard no_grad;
    norm.weight.copy_(torch::tensor({2.0f, -1.0f}));
  }
  EXPECT_TRUE(norm.forward(torch::tensor({{-5.0f, 5.0f}})).allclose(torch::tensor({{-2.0f, -1.0f}})));
}

TEST(RmsNorm, EpsKeepsZerosFinite) { EXPECT_EQ(ones(3, 1e-6).forward(torch::zeros({2, 3})).abs().max().item<double>(), 0); }

TEST(RmsNorm, SumsSquaresOfHalfPrecisionInFp32) {
  // The square of 1000 is not a number of fp16.
  const auto y = ones(4, 1e-6, torch::kHalf).forward(torch::full({1, 4}, 1000.0, torch::kHalf));
  EXPECT_EQ(y.scalar_type(), torch::kHalf);
  EXPECT_TRUE(y.allclose(torch::ones({1, 4}, torch::kHalf)));
}

TEST(RmsNorm, ItsGradientAgreesWithFiniteDifferences) {
  auto norm = ones(4, 1e-3, torch::kFloat64);
  const auto x = torch::randn({2, 4}), direction = torch::randn({2, 4});
  // The mean is taken in fp32: the step must be large enough for it.
  const auto at = [&](double step) { return norm.forward((x + step * direction).to(torch::kFloat64)).sin().sum(); };
  auto leaf = x.clone().set_requires_grad(true);
  norm.forward(leaf.to(torch::kFloat64)).sin().sum().backward();
  const double slope = (at(1e-2) - at(-1e-2)).item<double>() / 2e-2;
  EXPECT_NEAR((leaf.grad() * direction).sum().item<double>(), slope, 2e-2);
}

}  // namespace
}  // namespace sara
