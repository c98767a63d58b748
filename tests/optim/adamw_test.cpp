// SPDX-License-Identifier: Apache-2.0
#include "sara/optim/adamw.h"

#include <gtest/gtest.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>

#include <cmath>
#include <stdexcept>

#include "sara/base/error.h"

namespace sara {
namespace {

namespace nn = torch::nn;

nn::Sequential small_model() {
  torch::manual_seed(5);
  return nn::Sequential(nn::Linear(8, 16), nn::SiLU(), nn::Linear(16, 4));
}

// A gradient from outside, through the same door as autograd's: the loss sum(w * g) has gradient g.
void backward_with(nn::Sequential& model, const std::vector<torch::Tensor>& gradients) {
  torch::Tensor loss = torch::zeros({});
  const auto parameters = model->parameters();
  for (size_t i = 0; i < parameters.size(); ++i) loss = loss + (parameters[i] * gradients[i]).sum();
  loss.backward();
}

std::vector<torch::Tensor> random_gradients(const nn::Sequential& model) {
  std::vector<torch::Tensor> out;
  for (const auto& p : model->parameters()) out.push_back(torch::randn_like(p));
  return out;
}

AdamWOptions plain() { return AdamWOptions().threshold(0.1).lr(1e-2).lambda_rank(0); }

TEST(AdamW, IsOneLineAndLearns) {
  auto model = small_model();
  AdamW optimizer(model->named_parameters(), AdamWOptions().threshold(0.1).lr(1e-2));
  const torch::Tensor x = torch::randn({64, 8}), y = torch::randn({64, 4});
  double first = 0, last = 0;
  for (int i = 0; i < 50; ++i) {
    const torch::Tensor loss = (model->forward(x) - y).pow(2).mean();
    loss.backward();
    optimizer.step();
    (i ? last : first) = loss.item<double>();
  }
  EXPECT_LT(last, 0.9 * first);
  optimizer.values().verify_frozen();
}

TEST(AdamW, StartsAtTheBaseAndStepsAgainstTheGradientOfNegativeWeightsToo) {
  auto model = small_model();
  const auto named = model->named_parameters();
  std::vector<torch::Tensor> base;
  for (const auto& p : model->parameters()) base.push_back(p.detach().clone());
  AdamW optimizer(named, plain().weight_decay(0));
  for (size_t i = 0; i < base.size(); ++i) EXPECT_TRUE(model->parameters()[i].equal(base[i]));
  std::vector<torch::Tensor> ones;
  for (const auto& p : base) ones.push_back(torch::ones_like(p));
  backward_with(model, ones);
  optimizer.step();
  for (size_t i = 0; i < base.size(); ++i) {
    const torch::Tensor moved = model->parameters()[i].detach() - base[i];
    EXPECT_TRUE(moved.allclose(torch::where(base[i].abs().lt(0.1), torch::full({}, -1e-2), torch::zeros({})), 1e-4, 1e-7));
  }
}

TEST(AdamW, SkipsAStepWithNanAndChangesNothing) {
  auto model = small_model();
  AdamW optimizer(model->named_parameters(), plain());
  auto gradients = random_gradients(model);
  backward_with(model, gradients);
  optimizer.step();
  const torch::Tensor values = optimizer.values().values().clone(), m = optimizer.values().exp_avg().clone();
  gradients[0].fill_(NAN);
  backward_with(model, gradients);
  const StepReport report = optimizer.step();
  EXPECT_TRUE(report.skipped);
  EXPECT_TRUE(std::isnan(report.grad_norm));
  EXPECT_TRUE(optimizer.values().values().equal(values));
  EXPECT_TRUE(optimizer.values().exp_avg().equal(m));
  backward_with(model, random_gradients(model));
  EXPECT_FALSE(optimizer.step().skipped);  // the bad gradient is gone
}

TEST(AdamW, StepsOnValuesThatLieInTheWeightsAloneAreTheSameToTheBit) {
  for (const bool eight_bit : {false, true}) {
    auto kept = small_model(), dropped = small_model();
    for (auto& model : {kept, dropped}) model->parameters()[2].set_data(model->parameters()[2].detach().t().contiguous().t());  // strided
    const auto options = [&] { return AdamWOptions().threshold(0.1).lr(1e-2).progressive_iter(3).max_grad_norm(1).moments(eight_bit ? "8bit" : "fp32"); };
    AdamW one(kept->named_parameters(), options()), other(dropped->named_parameters(), options());
    for (int step = 0; step < 6; ++step) {
      const auto gradients = random_gradients(kept);
      for (auto& [model, optimizer] : {std::pair{&kept, &one}, std::pair{&dropped, &other}}) {
        backward_with(*model, gradients);
        optimizer->step();
      }
      other.drop_values_();
      EXPECT_TRUE(other.values().values_dropped());
      EXPECT_EQ(other.values().held_bytes().state + 4 * other.values().active(), one.values().held_bytes().state);
      EXPECT_EQ(other.values().below(0.1), one.values().below(0.1));
      for (size_t i = 0; i < kept->parameters().size(); ++i) EXPECT_TRUE(kept->parameters()[i].equal(dropped->parameters()[i])) << step;
    }
    EXPECT_TRUE(other.parameters()[0].equal(one.parameters()[0]));  // asked for, they are there again
    EXPECT_FALSE(other.values().values_dropped());
  }
}

TEST(AdamW, WhatFollowsABackwardPassFollowsTheNextOneAfterOneThatFailed) {
  auto model = small_model();
  AdamW optimizer(model->named_parameters(), plain());
  int calls = 0;
  optimizer.after_backward([&calls] { ++calls; });
  const torch::Tensor x = torch::ones({1, 8}).requires_grad_();
  x.register_hook([](torch::Tensor gradient) -> torch::Tensor { throw std::runtime_error("fails"); return gradient; });
  EXPECT_ANY_THROW(model->forward(x).sum().backward());
  optimizer.zero_grad();
  const int before = calls;
  for (int pass = 1; pass <= 2; ++pass) {
    backward_with(model, random_gradients(model));
    EXPECT_EQ(calls, before + pass);
  }
}

TEST(AdamW, ValuesOfHalfWeightsAreNoCopyAndStay) {
  auto model = small_model();
  model->to(torch::kBFloat16);
  AdamW optimizer(model->named_parameters(), plain());
  optimizer.drop_values_();
  EXPECT_FALSE(optimizer.values().values_dropped());
}

TEST(AdamW, AccumulatedBackwardsEqualOneOfTheMean) {
  auto one = small_model(), four = small_model();
  AdamW a(one->named_parameters(), plain()), b(four->named_parameters(), plain());
  const torch::Tensor x = torch::randn({4, 8});
  for (int i = 0; i < 3; ++i) {
    one->forward(x).pow(2).mean().backward();
    for (int64_t k = 0; k < 4; ++k) (four->forward(x.narrow(0, k, 1)).pow(2).mean() / 4).backward();
    a.step();
    b.step();
  }
  EXPECT_TRUE(a.values().values().allclose(b.values().values(), 1e-4, 1e-6));
}

TEST(AdamW, ClipsTheNormItReportsRankTermIncluded) {
  auto model = small_model();
  AdamW optimizer(model->named_parameters(), plain().lambda_rank(1e4).rank_mode("all").max_grad_norm(1).adam_beta1(0));
  const StepReport report = optimizer.step();  // no task gradient at all
  EXPECT_GT(report.grad_norm, 1e3);
  EXPECT_GT(report.rank_loss, 0);
  EXPECT_NEAR(optimizer.values().exp_avg().norm().item<double>(), 1, 1e-5);  // beta1 = 0: the clipped gradient itself
}

TEST(AdamW, LambdaActs) {
  const auto after = [](double lambda) {
    auto model = small_model();
    AdamW optimizer(model->named_parameters(), plain().lambda_rank(lambda).weight_decay(0));
    for (int i = 0; i < 10; ++i) optimizer.step();
    return optimizer.values().values().clone();
  };
  EXPECT_FALSE(after(0).equal(after(100)));
  auto model = small_model();
  EXPECT_TRUE(after(0).equal(AdamW(model->named_parameters(), plain()).values().values()));
}

TEST(AdamW, ReselectionLosesNoStepAndSurvivorsGoOnAsWithoutIt) {
  auto with = small_model(), without = small_model();
  AdamW a(with->named_parameters(), plain().lr(2e-2).progressive_iter(3)), b(without->named_parameters(), plain().lr(2e-2).progressive_iter(0));
  torch::manual_seed(11);
  for (int t = 1; t <= 6; ++t) {
    const auto gradients = random_gradients(with);
    backward_with(with, gradients);
    backward_with(without, gradients);
    EXPECT_EQ(a.step().reselected, t == 3);
    EXPECT_FALSE(b.step().reselected);
    if (t == 3) {
      for (size_t i = 0; i < with->parameters().size(); ++i) EXPECT_TRUE(with->parameters()[i].equal(without->parameters()[i]));
    }
  }
  ASSERT_LT(a.values().active(), b.values().active());
  ASSERT_GT(a.values().active(), 0);
  for (const auto& slot : a.values().slots())
    for (const auto& other : b.values().slots())
      if (slot.name == other.name) {
        const torch::Tensor where = torch::searchsorted(other.indices, slot.indices);
        EXPECT_TRUE(Values::span(a.values().values(), slot).equal(Values::span(b.values().values(), other).index_select(0, where)));
      }
  a.values().verify_frozen();
}

TEST(AdamW, TrainsHalfPrecisionOnFp32Values) {
  for (const auto dtype : {torch::kBFloat16, torch::kHalf}) {
    const torch::Tensor w = torch::full({100}, 1e-3f).to(dtype), base = w.clone();
    AdamW optimizer(NamedTensors{{"w", w}}, AdamWOptions().threshold(2e-3).lr(1e-7).weight_decay(0).force(true));
    for (int i = 0; i < 50; ++i) {
      w.sum().backward();
      optimizer.step();
    }
    const double moved = (optimizer.values().values() - optimizer.values().base()).to(torch::kDouble).mean().item<double>();
    EXPECT_NEAR(moved, -50e-7, 1e-9);
    EXPECT_TRUE(w.equal(optimizer.values().values().to(dtype)));
  }
}

TEST(AdamW, UsesAGivenRateOrThePapers) {
  auto model = small_model();
  EXPECT_DOUBLE_EQ(AdamW(model->named_parameters(), plain()).lr(), 1e-2);
  EXPECT_DOUBLE_EQ(AdamW(model->named_parameters(), AdamWOptions().threshold(5e-3)).lr(), 1e-3 * std::exp(-1.75));
  EXPECT_THROW(AdamW(model->named_parameters(), AdamWOptions().threshold(0.1)).lr(), InvalidArgument);
}

TEST(AdamW, RefusesOptionsOutOfRange) {
  auto model = small_model();
  EXPECT_THROW(AdamW(model->named_parameters(), plain().progressive_iter(-1)), InvalidArgument);
  EXPECT_THROW(AdamW(model->named_parameters(), plain().decay_to("half")), InvalidArgument);
  EXPECT_THROW(AdamW(model->named_parameters(), plain().adam_beta1(1)), InvalidArgument);
  EXPECT_THROW(AdamW(model->named_parameters(), plain().threshold(-1)), InvalidArgument);
}

}  // namespace
}  // namespace sara
