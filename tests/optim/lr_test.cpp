// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include "sara/base/error.h"
#include "sara/optim/grad_clip.h"
#include "sara/optim/lr_curve.h"
#include "sara/optim/lr_rule.h"

namespace sara {
namespace {

TEST(LrRule, IsThePapersFormulaInsideItsFit) {
  EXPECT_DOUBLE_EQ(lr_for_threshold(2e-3), 1e-3 * std::exp(-0.7));
  EXPECT_GT(lr_for_threshold(1.3e-2), 1e-5);
  EXPECT_THROW(lr_for_threshold(1.4e-2), InvalidArgument);
  EXPECT_THROW(lr_for_threshold(100), InvalidArgument);
}

TEST(LrCurve, FallsFromOneToZero) {
  EXPECT_DOUBLE_EQ(lr_curve("cosine", 1, 100), 1);
  EXPECT_NEAR(lr_curve("cosine", 51, 100), 0.5, 1e-12);
  EXPECT_DOUBLE_EQ(lr_curve("linear", 26, 100), 0.75);
  EXPECT_DOUBLE_EQ(lr_curve("constant", 100, 100), 1);
  EXPECT_GT(lr_curve("cosine", 100, 100), 0);
}

TEST(LrCurve, WarmsUpFromZero) {
  EXPECT_DOUBLE_EQ(lr_curve("constant_with_warmup", 1, 100, 10), 0);
  EXPECT_DOUBLE_EQ(lr_curve("constant_with_warmup", 11, 100, 10), 1);
  EXPECT_DOUBLE_EQ(lr_curve("constant_with_warmup", 100, 100, 0), 1);
  EXPECT_DOUBLE_EQ(lr_curve("cosine", 6, 100, 10), 0.5);
  EXPECT_DOUBLE_EQ(lr_curve("linear", 11, 100, 10), 1);
  EXPECT_DOUBLE_EQ(lr_curve("linear", 56, 100, 10), 0.5);
  EXPECT_DOUBLE_EQ(lr_curve("cosine", 10, 10, 10), 0.9);
}

TEST(LrCurve, RefusesWhatItCannotMean) {
  EXPECT_THROW(lr_curve("polynomial", 1, 10), InvalidArgument);
  EXPECT_THROW(lr_curve("constant", 1, 10, 2), InvalidArgument);
  EXPECT_THROW(lr_curve("cosine", 0, 10), InvalidArgument);
  EXPECT_THROW(lr_curve("cosine", 11, 10), InvalidArgument);
  EXPECT_THROW(lr_curve("cosine", 1, 10, 11), InvalidArgument);
}

TEST(GradClip, NormIsTheRootOfAllSquares) {
  EXPECT_DOUBLE_EQ(global_norm({torch::tensor({3.0f}), torch::tensor({4.0f})}), 5);
  const torch::Tensor g = torch::randn({70001}), b = g.to(torch::kBFloat16);
  EXPECT_NEAR(global_norm({g}), g.to(torch::kDouble).norm().item<double>(), 1e-9);
  EXPECT_NEAR(global_norm({b}), b.to(torch::kDouble).norm().item<double>(), 1e-9);
  EXPECT_TRUE(std::isnan(global_norm({torch::tensor({1.0f, NAN})})));
  EXPECT_TRUE(std::isinf(global_norm({torch::tensor({1.0f, INFINITY})})));
  EXPECT_TRUE(std::isfinite(global_norm({torch::full({100}, 3e38f)})));  // no overflow of the squares
}

TEST(GradClip, FactorBringsTheNormDownToTheLimitAndNeverUp) {
  EXPECT_DOUBLE_EQ(clip_factor(4, 1), 0.25);
  EXPECT_DOUBLE_EQ(clip_factor(0.5, 1), 1);
  EXPECT_DOUBLE_EQ(clip_factor(1e9, 0), 1);
}

}  // namespace
}  // namespace sara
