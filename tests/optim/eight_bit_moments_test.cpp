// SPDX-License-Identifier: Apache-2.0
// AdamW with 8-bit moments: beside fp32 moments and torch's dense AdamW, across a reselection, out and in again.
#include <gtest/gtest.h>
#include <torch/nn/modules/activation.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adamw.h>
#include <torch/utils.h>

#include <cmath>
#include <functional>

#include "sara/base/error.h"
#include "sara/optim/adamw.h"

namespace sara {
namespace {

namespace nn = torch::nn;

nn::Sequential regression() {
  torch::manual_seed(5);
  return nn::Sequential(nn::Linear(16, 64), nn::SiLU(), nn::Linear(64, 64), nn::SiLU(), nn::Linear(64, 8));
}

AdamWOptions eight_bit(double threshold = 10) {
  return AdamWOptions().threshold(threshold).force(true).lr(2e-3).lambda_rank(0).moments("8bit");
}

// The loss at every step, on fresh noise over a fixed target.
std::vector<double> losses(nn::Sequential model, int steps, const std::function<void()>& step) {
  torch::manual_seed(1);
  const torch::Tensor map = torch::randn({16, 8});
  std::vector<double> out;
  for (int t = 0; t < steps; ++t) {
    const torch::Tensor x = torch::randn({64, 16}), y = x.matmul(map).tanh() + 0.1 * torch::randn({64, 8});
    const torch::Tensor loss = (model->forward(x) - y).square().mean();
    out.push_back(loss.item<double>());
    loss.backward();
    step();
  }
  return out;
}

double mean_of_last(const std::vector<double>& losses, size_t count) {
  double sum = 0;
  for (size_t i = losses.size() - count; i < losses.size(); ++i) sum += losses[i];
  return sum / static_cast<double>(count);
}

TEST(EightBitMoments, KeepTheLossCurveOfFp32MomentsAndOfTorchsDenseAdamW) {
  constexpr int kSteps = 600;
  auto small = regression(), full = regression(), dense = regression();
  AdamW bytes(small->named_parameters(), eight_bit()), floats(full->named_parameters(), eight_bit().moments("fp32"));
  ASSERT_EQ(bytes.values().selected(), bytes.total());
  torch::optim::AdamW torchs(dense->parameters(), torch::optim::AdamWOptions(2e-3).weight_decay(1e-2));
  const auto ours = losses(small, kSteps, [&] { bytes.step(); }), reference = losses(full, kSteps, [&] { floats.step(); });
  const auto judge = losses(dense, kSteps, [&] {
    torchs.step();
    torchs.zero_grad();
  });
  EXPECT_LT(mean_of_last(judge, 50), 0.3 * judge.front());  // there is a curve to keep
  for (size_t end = 50; end <= kSteps; end += 50) {
    const auto window = [end](const std::vector<double>& all) { return mean_of_last({all.begin(), all.begin() + static_cast<int64_t>(end)}, 50); };
    EXPECT_NEAR(window(reference) / window(judge), 1, 0.01) << end;
    EXPECT_NEAR(window(ours) / window(judge), 1, 0.03) << end;
  }
}

TEST(EightBitMoments, DecayWithoutAGradientWhereTheNearestLevelWouldStandStill) {
  const torch::Tensor w = torch::full({2560}, 1e-3f);
  AdamW optimizer(NamedTensors{{"w", w}}, eight_bit(1e-2).lr(1e-9));
  w.sum().backward();
  optimizer.step();
  const auto second = [&] { return from_eight_bit(optimizer.values().second_moment(optimizer.values().slots()[0])).to(torch::kDouble).mean().item<double>(); };
  const double start = second();
  EXPECT_NEAR(start, 1e-3, 1e-5);
  for (int t = 0; t < 500; ++t) optimizer.step();
  EXPECT_NEAR(second() / start, std::pow(0.999, 500), 0.05);
}

// The gradient of a step is the same for every copy.
struct Pair {
  torch::Tensor a, b;
  Pair() {
    torch::manual_seed(3);
    a = 0.1 * torch::randn({40, 31});
    b = 0.1 * torch::randn({300});
  }
  NamedTensors all() const { return {{"a", a}, {"b", b}}; }
  std::vector<ParameterGroup> groups() const { return {{{{"a", a}}}, {{{"b", b}}, 1e-3}}; }
  void backward(int64_t t) const {
    torch::manual_seed(100 + t);
    ((a * torch::randn(a.sizes())).sum() + (b * torch::randn(b.sizes())).sum()).backward();
  }
};

TEST(EightBitMoments, GoOnBitForBitFromASavedStateBeforeAndAfterAReselection) {
  for (const int64_t switch_at : {0, 4, 8}) {
    Pair straight, other;
    AdamW uninterrupted(straight.groups(), eight_bit(0.08).lr(1e-2).progressive_iter(switch_at));
    AdamWState saved;
    for (int64_t t = 1; t <= 12; ++t) {
      straight.backward(t);
      uninterrupted.step();
      if (t != 6) continue;
      saved = uninterrupted.state();
      for (torch::Tensor* tensor : {&saved.values.values, &saved.values.exp_avg, &saved.values.exp_avg_sq, &saved.values.exp_avg_scale, &saved.values.exp_avg_sq_scale})
        *tensor = tensor->clone();
    }
    AdamW again(other.groups(), eight_bit(0.08).lr(1e-2).progressive_iter(switch_at));
    again.load_state_(saved);
    for (int64_t t = 7; t <= 12; ++t) {
      other.backward(t);
      again.step();
    }
    EXPECT_TRUE(straight.a.equal(other.a));
    EXPECT_TRUE(straight.b.equal(other.b));
    EXPECT_TRUE(again.values().exp_avg().equal(uninterrupted.values().exp_avg()));
    EXPECT_TRUE(again.values().exp_avg_sq_scale().equal(uninterrupted.values().exp_avg_sq_scale()));
    EXPECT_EQ(again.values().active() < again.values().selected(), switch_at > 0);
    again.values().verify_frozen();
  }
}

TEST(EightBitMoments, OfSurvivorsAreRoundedToTheNearestInTheirNewBlocks) {
  Pair pair;
  AdamW optimizer(pair.all(), eight_bit(0.08).lr(5e-2).progressive_iter(3));
  for (int64_t t = 1; t <= 3; ++t) {
    pair.backward(t);
    optimizer.step();
  }
  const Values& values = optimizer.values();
  ASSERT_LT(values.active(), values.selected());
  ASSERT_GT(values.active(), 0);
  // The same steps without the switch hold the moments before it.
  Pair steady;
  AdamW without(steady.all(), eight_bit(0.08).lr(5e-2));
  for (int64_t t = 1; t <= 3; ++t) {
    steady.backward(t);
    without.step();
  }
  for (size_t i = 0; i < values.slots().size(); ++i) {
    const auto& slot = values.slots()[i];
    const auto& whole = without.values().slots()[i];
    const torch::Tensor where = torch::searchsorted(whole.indices, slot.indices);
    const torch::Tensor numbers = from_eight_bit(without.values().first_moment(whole)).index_select(0, where);
    EXPECT_TRUE(from_eight_bit(values.first_moment(slot)).equal(from_eight_bit(to_eight_bit(numbers, true))));
  }
}

TEST(EightBitMoments, HoldTwoBytesAWeightAndAScaleAFewHundred) {
  const torch::Tensor w = 1e-3 * torch::randn({100, 256});
  AdamW optimizer(NamedTensors{{"w", w}}, eight_bit(1));
  const auto held = optimizer.values().held_bytes();
  EXPECT_EQ(held.state, 25600 * (4 + 4 + 2) + 100 * 8);
}

TEST(EightBitMoments, AndFp32MomentsRefuseEachOthersState) {
  Pair one, two;
  AdamW bytes(one.all(), eight_bit(0.08)), floats(two.all(), eight_bit(0.08).moments("fp32"));
  EXPECT_THROW(bytes.load_state_(floats.state()), InvalidArgument);
  EXPECT_THROW(floats.load_state_(bytes.state()), InvalidArgument);
  EXPECT_THROW(AdamW(one.all(), eight_bit(0.08).moments("4bit")), InvalidArgument);
}

}  // namespace
}  // namespace sara
