// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/capture.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/nn/functional.h>

#include "sara/base/error.h"
#include "sara/sparse/gather_scatter.h"
#include "sara/sparse/selection.h"

namespace sara {
namespace {

namespace F = torch::nn::functional;

struct CaptureTest : testing::Test {
  torch::Tensor conv = torch::randn({6, 3, 3, 3}), linear = torch::randn({5, 6}), bias = torch::full({5}, 3.0f);
  NamedTensors model = {{"conv", conv}, {"linear", linear}, {"bias", bias}};
  torch::Tensor x = torch::randn({2, 3, 8, 8});

  torch::Tensor loss(const torch::Tensor& conv, const torch::Tensor& linear, const torch::Tensor& bias) const {
    const torch::Tensor h = F::silu(F::conv2d(x, conv, F::Conv2dFuncOptions().padding(1))).mean({2, 3});
    return F::linear(h, linear, bias).pow(2).mean();
  }
};

TEST_F(CaptureTest, GathersTheMaskedGradientAndLeavesNoDenseOne) {
  Values values(select(model, {.threshold = 0.3}).mask);
  const Capture capture(values, model);
  loss(conv, linear, bias).backward();
  for (const auto& [name, weight] : model) EXPECT_FALSE(weight.grad().defined()) << name;

  const torch::Tensor c = conv.detach().clone().requires_grad_(), l = linear.detach().clone().requires_grad_();
  loss(c, l, bias).backward();
  const auto& slots = values.slots();
  ASSERT_EQ(slots.size(), 2u);
  EXPECT_TRUE(Values::span(values.gradient(), slots[0]).equal(gather(l.grad(), slots[0].indices)));
  EXPECT_TRUE(Values::span(values.gradient(), slots[1]).equal(gather(c.grad(), slots[1].indices)));
}

TEST_F(CaptureTest, NeverHoldsTheGradientsOfTwoLayersAtOnce) {
  // When the backward pass reaches the input of the linear layer, its weight's gradient must be gone already.
  Values values(select(model, {.threshold = 0.3}).mask);
  const Capture capture(values, model);
  const torch::Tensor h = F::conv2d(x, conv).mean({2, 3});
  int seen = 0;
  const torch::Tensor h2 = F::linear(h, linear);
  conv.register_hook([&](const torch::Tensor&) {  // runs before the conv's own gradient is stored
    ++seen;
    EXPECT_FALSE(linear.grad().defined());
    EXPECT_FALSE(conv.grad().defined());
  });
  h2.pow(2).mean().backward();
  EXPECT_EQ(seen, 1);
  EXPECT_FALSE(conv.grad().defined());
}

TEST_F(CaptureTest, GivesTensorsWithNothingSelectedNoGradientAtAll) {
  bias.set_requires_grad(true);
  Values values(select(model, {.threshold = 0.3}).mask);
  Capture capture(values, model);
  EXPECT_FALSE(bias.requires_grad());
  EXPECT_TRUE(conv.requires_grad());
  Values::span(values.values(), values.slots()[1]).fill_(1);  // all of conv leaves
  values.reselect_(0.3);
  capture.refresh();
  EXPECT_FALSE(conv.requires_grad());
  EXPECT_TRUE(linear.requires_grad());
  loss(conv, linear, bias).backward();
  EXPECT_FALSE(conv.grad().defined());
  EXPECT_GT(values.gradient().abs().max().item<float>(), 0);
}

TEST_F(CaptureTest, AddsUpOverBackwardPassesUntilCleared) {
  Values values(select(model, {.threshold = 0.3}).mask);
  const Capture capture(values, model);
  loss(conv, linear, bias).backward();
  const torch::Tensor once = values.gradient().clone();
  loss(conv, linear, bias).backward();
  EXPECT_TRUE(values.gradient().allclose(2 * once, 1e-6, 1e-9));
  values.clear_gradient_();
  EXPECT_EQ(values.gradient().abs().max().item<float>(), 0);
}

TEST_F(CaptureTest, CountsATiedWeightOnce) {
  const torch::Tensor w = torch::randn({6, 6});
  Values values(select({{"w", w}}, {.threshold = 0.5}).mask);
  const Capture capture(values, {{"w", w}});
  const torch::Tensor input = torch::randn({4, 6}), own = w.detach().clone().requires_grad_();
  F::linear(F::linear(input, w), w).pow(2).sum().backward();
  F::linear(F::linear(input, own), own).pow(2).sum().backward();
  EXPECT_TRUE(values.gradient().allclose(gather(own.grad(), values.slots()[0].indices), 1e-5, 1e-5));
}

TEST_F(CaptureTest, TakesChannelsLastGradientsOfHalfPrecisionWeights) {
  const torch::Tensor w = conv.to(torch::kBFloat16).contiguous(at::MemoryFormat::ChannelsLast);
  Values values(select({{"w", w}}, {.threshold = 0.3}).mask);
  const Capture capture(values, {{"w", w}});
  const torch::Tensor scale = torch::randn({6, 3, 3, 3}).to(torch::kBFloat16);
  (w * scale).sum().backward();  // the gradient is `scale`
  EXPECT_TRUE(values.gradient().equal(gather(scale, values.slots()[0].indices)));
}

TEST_F(CaptureTest, TakesItsHooksAwayWithIt) {
  {
    Values values(select(model, {.threshold = 0.3}).mask);
    const Capture capture(values, model);
  }
  loss(conv, linear, bias).backward();
  EXPECT_TRUE(conv.grad().defined());
}

struct ForeignHook : torch::autograd::PostAccumulateGradHook {
  void operator()(const torch::Tensor&) override {}
};

TEST_F(CaptureTest, RefusesAWeightWhoseHookIsTakenAndTellsWhenItsOwnIsReplaced) {
  Values values(select(model, {.threshold = 0.3}).mask);
  {
    const Capture capture(values, model);
    Values again(select(model, {.threshold = 0.3}).mask);
    EXPECT_THROW(Capture(again, model), InvalidArgument);
    capture.require_hooks();  // the refused one took nothing
    torch::autograd::impl::set_post_acc_grad_hooks(conv, std::make_unique<ForeignHook>());
    EXPECT_THROW(capture.require_hooks(), InvalidArgument);
  }
  EXPECT_TRUE(dynamic_cast<ForeignHook*>(torch::autograd::impl::post_acc_grad_hooks(conv).get()));  // not ours to take away
  linear.set_requires_grad(false);
  EXPECT_THROW(Capture(values, model), InvalidArgument);
  EXPECT_FALSE(linear.requires_grad());  // nothing changed
  torch::autograd::impl::set_post_acc_grad_hooks(conv, nullptr);
  const Capture capture(values, model);
}

TEST_F(CaptureTest, RefusesTensorsThatAreNotParameters) {
  Values values(select(model, {.threshold = 0.3}).mask);
  const torch::Tensor computed = torch::ones({2}).requires_grad_() * 2;
  EXPECT_THROW(Capture(values, {{"computed", computed}}), InvalidArgument);
}

}  // namespace
}  // namespace sara
