// SPDX-License-Identifier: Apache-2.0
// Parameter groups, the step that keeps the gradient, and state out and in.
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <gtest/gtest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "sara/base/error.h"
#include "sara/optim/adamw.h"

namespace sara {
namespace {

// Two matrices and a bias, and a fixed gradient for every step.
struct Trio {
  explicit Trio(at::ScalarType dtype = torch::kFloat) {
    torch::manual_seed(3);
    a = (0.1 * torch::randn({12, 9})).to(dtype);
    b = (0.1 * torch::randn({7, 12})).to(dtype);
    bias = (0.1 * torch::randn({12})).to(dtype);
  }
  NamedTensors all() const { return {{"a", a}, {"bias", bias}, {"b", b}}; }
  void backward(int64_t t) const {
    torch::manual_seed(100 + t);
    torch::Tensor loss = torch::zeros({});
    for (const auto& [name, weight] : all()) loss = loss + (weight * torch::randn(weight.sizes())).sum();
    loss.backward();
  }
  bool same(const Trio& other) const { return a.equal(other.a) && b.equal(other.b) && bias.equal(other.bias); }
  torch::Tensor a, b, bias;
};

AdamWOptions trio_options(int64_t progressive_iter = 0) {
  return AdamWOptions().threshold(0.08).lr(1e-2).rank_mode("one").progressive_iter(progressive_iter).max_grad_norm(1).force(true);
}

TEST(AdamWGroups, HaveTheirOwnRateAndDecayAndOneGlobalSelectionAndNorm) {
  Trio one, two;
  AdamW whole(one.all(), trio_options());
  const std::vector<ParameterGroup> groups{{{{"a", two.a}, {"bias", two.bias}}, 1e-2, 0.0}, {{{"b", two.b}}, 0.0, 0.5}};
  AdamW split(groups, trio_options().budget(std::nullopt));
  EXPECT_EQ(split.values().selected(), whole.values().selected());
  EXPECT_EQ(split.parameters().size(), 2u);
  const torch::Tensor b = two.b.detach().clone();
  one.backward(1);
  two.backward(1);
  EXPECT_EQ(split.step().grad_norm, whole.step().grad_norm);
  EXPECT_TRUE(two.b.detach().equal(b));  // rate 0
  EXPECT_FALSE(two.a.equal(Trio().a));
  split.values().verify_frozen();
}

TEST(AdamWGroups, AreContiguousSpansThatTogetherEqualOneGroup) {
  Trio one, two;
  AdamW whole(one.all(), trio_options(3));
  AdamW split(std::vector<ParameterGroup>{{{{"a", two.a}}}, {{}}, {{{"bias", two.bias}, {"b", two.b}}}}, trio_options(3));
  int64_t sum = 0;
  for (size_t group = 0; group < 3; ++group) {
    const auto [begin, end] = split.values().group_span(group);
    EXPECT_EQ(split.parameters()[group].numel(), end - begin);
    sum += end - begin;
    for (const auto& slot : split.values().slots())
      if (slot.group == group) {
        EXPECT_GE(slot.begin, begin);
        EXPECT_LE(slot.end, end);
      }
  }
  EXPECT_EQ(sum, split.values().active());
  EXPECT_EQ(split.parameters()[1].numel(), 0);
  for (int t = 1; t <= 6; ++t) {
    one.backward(t);
    two.backward(t);
    whole.step();
    split.step();
  }
  EXPECT_LT(split.values().active(), split.values().selected());
  EXPECT_TRUE(one.same(two));
}

TEST(AdamWGroups, RefuseANameInTwoOfThem) {
  Trio trio;
  EXPECT_THROW(AdamW(std::vector<ParameterGroup>{{{{"a", trio.a}}}, {{{"a", trio.b}}}}, trio_options()), InvalidArgument);
}

TEST(AdamWKeepingGradient, LeavesTheTaskGradientAloneAndTakesTheSameStep) {
  Trio one, two;
  AdamW uses_up(one.all(), trio_options().lambda_rank(1).rank_layers("all")), keeps(two.all(), trio_options().lambda_rank(1).rank_layers("all"));
  one.backward(1);
  two.backward(1);
  const torch::Tensor before = keeps.values().gradient().clone();
  uses_up.step();
  const auto report = keeps.step_keeping_gradient(keeps.group_steps(1e-2));
  EXPECT_GT(report.rank_loss, 0);
  EXPECT_TRUE(one.same(two));
  EXPECT_TRUE(keeps.values().gradient().equal(before));
  EXPECT_EQ(uses_up.values().gradient().abs().max().item<float>(), 0);
  keeps.zero_grad();
  EXPECT_EQ(keeps.values().gradient().abs().max().item<float>(), 0);
}

TEST(AdamWKeepingGradient, WithAllMatricesAndNoClippingTakesTheSameStepToo) {
  Trio one, two;
  const auto options = trio_options().lambda_rank(1).rank_layers("all").rank_mode("all").max_grad_norm(0);
  AdamW uses_up(one.all(), options), keeps(two.all(), options);
  for (int64_t t = 1; t <= 3; ++t) {
    one.backward(t);
    keeps.zero_grad();
    two.backward(t);
    const torch::Tensor before = keeps.values().gradient().clone();
    const auto expected = uses_up.step();
    const auto report = keeps.step_keeping_gradient(keeps.group_steps(1e-2));
    EXPECT_GT(report.rank_loss, 0);
    EXPECT_EQ(report.rank_loss, expected.rank_loss);
    EXPECT_EQ(report.grad_norm, expected.grad_norm);
    EXPECT_TRUE(one.same(two));
    EXPECT_TRUE(keeps.values().gradient().equal(before));
  }
  keeps.values().gradient()[0] = NAN;
  const Trio& held = two;
  const torch::Tensor a = held.a.detach().clone();
  EXPECT_TRUE(keeps.step_keeping_gradient(keeps.group_steps(1e-2)).skipped);
  EXPECT_TRUE(held.a.detach().equal(a));
}

// The most CPU tensor memory that was held at a time beyond what there was at the start.
struct PeakBytes : c10::MemoryReportingInfoBase {
  int64_t live = 0, peak = 0;
  void reportMemoryUsage(void*, int64_t size, size_t, size_t, c10::Device) override { peak = std::max(peak, live += size); }
  bool memoryProfilingEnabled() const override { return true; }
};

TEST(AdamWKeepingGradient, HoldsOneMatrixAtATimeBesideIt) {
  constexpr int64_t kMatrices = 64, kSide = 64;
  NamedTensors matrices;
  torch::manual_seed(1);
  for (int64_t i = 0; i < kMatrices; ++i) matrices.emplace_back("w" + std::to_string(i), torch::randn({kSide, kSide}));
  AdamW optimizer(matrices, AdamWOptions().threshold(100).lr(1e-3).rank_mode("all").force(true));
  for (const auto& [name, weight] : matrices) weight.sum().backward();
  const auto peak = std::make_shared<PeakBytes>();
  {
    const c10::DebugInfoGuard guard(c10::DebugInfoKind::PROFILER_STATE, peak);
    EXPECT_GT(optimizer.step_keeping_gradient(optimizer.group_steps(1e-3)).rank_loss, 0);
  }
  EXPECT_GT(peak->peak, kSide * kSide * 4);
  EXPECT_LT(peak->peak, kMatrices / 4 * kSide * kSide * 4);
}

TEST(AdamWParameters, ShareMemoryWithValuesAndGradientAlsoAfterReselection) {
  Trio trio;
  AdamW optimizer(trio.all(), trio_options(1).lambda_rank(0).max_grad_norm(0));
  const torch::Tensor parameter = optimizer.parameters()[0];  // kept across the reselection
  trio.backward(1);
  EXPECT_TRUE(parameter.grad().equal(optimizer.values().gradient()));
  EXPECT_TRUE(optimizer.step_keeping_gradient(optimizer.group_steps(0.05)).reselected);
  EXPECT_EQ(parameter.numel(), optimizer.values().active());
  EXPECT_EQ(parameter.const_data_ptr(), optimizer.values().values().const_data_ptr());
  EXPECT_EQ(parameter.grad().const_data_ptr(), optimizer.values().gradient().const_data_ptr());
  parameter.mutable_grad().reset();  // "none" means zero for the next backward pass
  trio.backward(2);
  const torch::Tensor once = optimizer.values().gradient().clone();
  EXPECT_EQ(parameter.grad().const_data_ptr(), optimizer.values().gradient().const_data_ptr());
  parameter.mutable_grad() = once * 3;  // a gradient put in its place counts
  optimizer.step_keeping_gradient(optimizer.group_steps(0));
  EXPECT_TRUE(optimizer.values().gradient().equal(once * 3));
}

struct StateIn : testing::TestWithParam<std::tuple<at::ScalarType, int64_t>> {};

TEST_P(StateIn, ReloadedAfterTenStepsContinuesBitForBit) {
  const auto [dtype, switch_at] = GetParam();
  Trio straight(dtype), first(dtype), second(dtype);
  AdamW uninterrupted(straight.all(), trio_options(switch_at)), before(first.all(), trio_options(switch_at));
  for (int t = 1; t <= 10; ++t) {
    straight.backward(t);
    first.backward(t);
    uninterrupted.step();
    before.step();
  }
  const AdamWState live = before.state();
  AdamW after(second.all(), trio_options(switch_at));
  after.load_state_(live);
  EXPECT_TRUE(first.same(second));
  after.values().verify_frozen();
  EXPECT_EQ(after.steps(), 10);
  EXPECT_EQ(after.values().active() < after.values().selected(), switch_at <= 10);
  for (int t = 11; t <= 20; ++t) {
    straight.backward(t);
    second.backward(t);
    uninterrupted.step();
    after.step();
  }
  EXPECT_TRUE(straight.same(second));
  EXPECT_TRUE(after.values().values().equal(uninterrupted.values().values()));
  EXPECT_TRUE(after.values().exp_avg_sq().equal(uninterrupted.values().exp_avg_sq()));
  const auto a = after.values().learned(), b = uninterrupted.values().learned();
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_TRUE(a[i].indices.equal(b[i].indices));
    EXPECT_TRUE(a[i].values.equal(b[i].values));
    EXPECT_TRUE(a[i].base.equal(b[i].base));
  }
  after.values().verify_frozen();
  after.load_state_(live);  // and back, from a state past a reselection
  EXPECT_TRUE(first.same(second));
}

INSTANTIATE_TEST_SUITE_P(BeforeAtAndAfterTheReselection, StateIn,
                         testing::Combine(testing::Values(torch::kFloat, torch::kBFloat16), testing::Values(9, 10, 11)));

TEST(AdamWState, OfAnotherBaseThresholdOrSizeIsRefusedByNameWithNothingChanged) {
  Trio trio, other;
  {
    const torch::NoGradGuard no_grad;
    other.bias[0] += 1;
  }
  AdamW optimizer(trio.all(), trio_options()), foreign(other.all(), trio_options());
  trio.backward(1);
  optimizer.step();
  const Trio copy{};
  const torch::Tensor values = optimizer.values().values().clone(), a = trio.a.detach().clone();
  const auto refused = [&](const AdamWState& state, const std::string& phrase) {
    try {
      optimizer.load_state_(state);
      ADD_FAILURE() << "not refused: " << phrase;
    } catch (const InvalidArgument& error) {
      EXPECT_NE(std::string(error.what()).find(phrase), std::string::npos) << error.what();
    }
    EXPECT_TRUE(optimizer.values().values().equal(values));
    EXPECT_TRUE(trio.a.equal(a));
    EXPECT_EQ(optimizer.steps(), 1);
  };
  refused(foreign.state(), "bias differs");
  AdamWState state = optimizer.state();
  state.threshold = 0.07;
  refused(state, "another threshold");
  state = optimizer.state();
  state.values.exp_avg = torch::zeros({3});
  refused(state, "exp_avg does not fit");
  state = optimizer.state();
  state.base_hashes.erase("b");
  refused(state, "none of that name");
}

TEST(HeldBytes, AreTwentyAWeightAndTheBaseInItsOwnType) {
  for (const auto& [dtype, base_bytes] : {std::pair{torch::kFloat, 4}, {torch::kBFloat16, 2}}) {
    Trio trio(dtype);
    AdamW optimizer(trio.all(), trio_options());
    const auto held = optimizer.values().held_bytes();
    EXPECT_EQ(held.index + held.state, 20 * optimizer.values().selected());
    EXPECT_EQ(held.base, base_bytes * optimizer.values().selected());
  }
}

TEST(AdamWInPlace, TellsOfAWeightThatWasConverted) {
  Trio trio;
  AdamW optimizer(trio.all(), trio_options());
  trio.a.set_data(trio.a.detach().to(torch::kBFloat16));
  try {
    optimizer.step();
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("a was moved or converted"), std::string::npos) << error.what();
  }
  EXPECT_EQ(optimizer.steps(), 0);
}

}  // namespace
}  // namespace sara
