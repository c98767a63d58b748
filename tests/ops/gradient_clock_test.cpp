// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/gradient_clock.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <thread>

#include "sara/ops/linear.h"

namespace sara {
namespace {

constexpr auto kWhile = std::chrono::milliseconds(20);

TEST(GradientClock, OneWithinAnotherCountsOnce) {
  const double before = weight_gradient_seconds();
  const auto start = std::chrono::steady_clock::now();
  {
    const GradientClock outer;
    const GradientClock inner;
    std::this_thread::sleep_for(kWhile);
  }
  const double passed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), counted = weight_gradient_seconds() - before;
  EXPECT_GE(counted, 0.02);
  EXPECT_LE(counted, passed);
}

TEST(GradientClock, StandsWhileNothingIsTrained) {
  const torch::Tensor x = torch::randn({64, 32}).requires_grad_(), weight = torch::randn({16, 32}), bias = torch::randn({16});
  const double before = weight_gradient_seconds();
  linear(x, weight, bias).sum().backward();
  const double frozen = weight_gradient_seconds() - before;
  linear(x, weight.requires_grad_(), bias).sum().backward();
  EXPECT_LT(frozen, 1e-4);  // two readings of a clock
  EXPECT_GT(weight_gradient_seconds() - before, frozen);
}

}  // namespace
}  // namespace sara
