// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/adamw_step.h"

#include <gtest/gtest.h>
#include <torch/optim/adamw.h>

namespace sara {
namespace {

TEST(AdamWStep, AgreesWithTorchOverFiftySteps) {
  const torch::Tensor theirs = torch::randn({1003}).requires_grad_();
  const torch::Tensor ours = theirs.detach().clone(), m = torch::zeros({1003}), v = torch::zeros({1003});
  torch::optim::AdamW optimizer({theirs}, torch::optim::AdamWOptions(1e-2).weight_decay(0.1).betas({0.8, 0.95}));
  for (int64_t step = 1; step <= 50; ++step) {
    const torch::Tensor gradient = torch::randn({1003});
    theirs.mutable_grad() = gradient;
    optimizer.step();
    adamw_step_(ours, gradient, m, v, {}, {.lr = 1e-2, .beta1 = 0.8, .beta2 = 0.95, .weight_decay = 0.1, .step = step});
  }
  EXPECT_TRUE(ours.allclose(theirs, 1e-6, 1e-6));
}

TEST(AdamWStep, TheFirstStepMovesAgainstTheGradientByTheRate) {
  const torch::Tensor p = torch::tensor({-1e-3f, 1e-3f}), m = torch::zeros({2}), v = torch::zeros({2});
  adamw_step_(p, torch::tensor({5.0f, 5.0f}), m, v, {}, {.lr = 1e-4, .weight_decay = 0});
  EXPECT_TRUE(p.allclose(torch::tensor({-1.1e-3f, 0.9e-3f}), 1e-5, 0));
}

TEST(AdamWStep, DecayPullsToItsTargetAndNotAtAllWhenZero) {
  const torch::Tensor zero = torch::zeros({1}), base = torch::tensor({2.0f});
  const auto after = [&](const torch::Tensor& target, double decay) {
    const torch::Tensor p = torch::tensor({1.0f}), m = torch::zeros({1}), v = torch::zeros({1});
    adamw_step_(p, zero, m, v, target, {.lr = 0.1, .weight_decay = decay});
    return p.item<float>();
  };
  EXPECT_FLOAT_EQ(after({}, 0.5), 0.95f);
  EXPECT_FLOAT_EQ(after(base, 0.5), 1.05f);
  EXPECT_FLOAT_EQ(after({}, 0), 1.0f);
  EXPECT_FLOAT_EQ(after(base, 0), 1.0f);
}

TEST(AdamWStep, ScalesTheGradientFirst) {
  const auto moment = [](double scale) {
    const torch::Tensor p = torch::zeros({1}), m = torch::zeros({1}), v = torch::zeros({1});
    adamw_step_(p, torch::tensor({4.0f}), m, v, {}, {.gradient_scale = scale});
    return m.item<float>();
  };
  EXPECT_FLOAT_EQ(moment(0.25), 0.25f * moment(1));
}

}  // namespace
}  // namespace sara
