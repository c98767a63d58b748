// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "sara/base/error.h"
#include "sara/sparse/scope.h"
#include "sara/sparse/selection.h"
#include "sara/sparse/threshold.h"

namespace sara {
namespace {

NamedTensors rule_model() {
  return {{"a", torch::tensor({0.1f, -0.5f, 0.3f, 0.4f})}, {"b", torch::tensor({-2.0f, 0.2f})}};
}

TunedTensors tuned_copy(std::vector<torch::Tensor> tuned) {
  return [tuned = std::move(tuned)](const std::string& name, const torch::Tensor&) { return tuned[name == "a" ? 0 : 1]; };
}

std::vector<std::vector<int64_t>> positions_of(const Selection& selection) {
  std::vector<std::vector<int64_t>> out;
  for (const MaskEntry& entry : selection.mask) {
    const torch::Tensor indices = entry.indices.to(torch::kLong);
    out.emplace_back(indices.const_data_ptr<int64_t>(), indices.const_data_ptr<int64_t>() + indices.numel());
  }
  return out;
}

using Positions = std::vector<std::vector<int64_t>>;

TEST(SelectionRules, LargestTakesTheLargestMagnitudes) {
  const Selection selection = select(rule_model(), {.budget = "3", .rule = "largest"});
  EXPECT_EQ(positions_of(selection), (Positions{{1, 3}, {0}}));
  EXPECT_EQ(selection.selected, 3);
  EXPECT_TRUE(std::isinf(selection.threshold));
}

TEST(SelectionRules, SmallestPerTensorGivesEveryTensorTheSameShare) {
  EXPECT_EQ(positions_of(select(rule_model(), {.budget = "50%", .rule = "smallest_per_tensor"})), (Positions{{0, 2}, {1}}));
  EXPECT_EQ(positions_of(select(rule_model(), {.budget = "1", .rule = "smallest_per_tensor"})), (Positions{{}, {1}}));
}

TEST(SelectionRules, ChangedTakesWhatMovedMost) {
  const auto tuned = tuned_copy({torch::tensor({0.1f, -0.6f, 0.3f, 0.9f}), torch::tensor({-2.2f, 0.2f})});
  EXPECT_EQ(positions_of(select(rule_model(), {.budget = "2", .rule = "changed", .tuned = tuned})), (Positions{{3}, {0}}));
  EXPECT_EQ(positions_of(select(rule_model(), {.budget = "3", .rule = "changed", .tuned = tuned})), (Positions{{1, 3}, {0}}));
  try {
    select(rule_model(), {.budget = "4", .force = true, .rule = "changed", .tuned = tuned});
    FAIL();
  } catch (const InvalidArgument& error) {
    EXPECT_NE(std::string(error.what()).find("budget: more than the weights that the tuned model moved (expected at most 3, got 4)"), std::string::npos);
  }
  EXPECT_THROW(select(rule_model(), {.budget = "2", .rule = "changed"}), InvalidArgument);
  EXPECT_THROW(select(rule_model(), {.budget = "2", .rule = "largest", .tuned = tuned}), InvalidArgument);
  const auto bent = tuned_copy({torch::zeros({2, 2}), torch::zeros({2})});
  EXPECT_THROW(select(rule_model(), {.budget = "2", .rule = "changed", .tuned = bent}), BadFile);
  const auto broken = tuned_copy({torch::full({4}, std::nanf("")), torch::zeros({2})});
  EXPECT_THROW(select(rule_model(), {.budget = "2", .rule = "changed", .tuned = broken}), BadFile);
}

TEST(SelectionRules, RandomIsUniformSeededAndTheSameWhateverElseIsInScope) {
  const NamedTensors one = {{"x", torch::ones({100000})}};
  const NamedTensors two = {{"x", torch::ones({100000})}, {"y", torch::ones({100000})}};
  const auto first = select(one, {.budget = "10%", .rule = "random", .seed = 1});
  EXPECT_EQ(first.selected, 10000);
  EXPECT_TRUE(first.mask[0].indices.equal(select(one, {.budget = "10%", .rule = "random", .seed = 1}).mask[0].indices));
  EXPECT_FALSE(first.mask[0].indices.equal(select(one, {.budget = "10%", .rule = "random", .seed = 2}).mask[0].indices));
  // Tenths of the tensor hold a tenth of the draws each, within five standard deviations.
  const torch::Tensor tenths = first.mask[0].indices.div(10000, "floor").bincount();
  EXPECT_LT((tenths - 1000).abs().max().item<int64_t>(), 150);
  // Selected at the higher budget is everything that was selected at the lower: a rank depends on name and position alone.
  const auto more = select(two, {.budget = "20%", .rule = "random", .seed = 1});
  EXPECT_NEAR(static_cast<double>(at::isin(first.mask[0].indices, more.mask[0].indices).sum().item<int64_t>()), 10000, 0.5);
}

TEST(SelectionRules, SayWhatTheyNeed) {
  const auto text = [](const SelectionRequest& request) -> std::string {
    try {
      select(rule_model(), request);
    } catch (const InvalidArgument& error) {
      return error.what();
    }
    return "";
  };
  for (const char* rule : {"largest", "random", "smallest_per_tensor"}) EXPECT_NE(text({.rule = rule}).find(std::string("selection ") + rule + " needs one"), std::string::npos);
  EXPECT_NE(text({.budget = "4", .rule = "largest"}).find("(expected at most 50 %, got 4 of 6)"), std::string::npos);
  EXPECT_NE(text({.budget = "7", .rule = "largest"}).find("more than there is"), std::string::npos);
  EXPECT_NE(text({.budget = "2", .rule = "smallest"}).find("below, largest, random, smallest_per_tensor, changed"), std::string::npos);
  EXPECT_NE(text({.threshold = 0, .budget = "2", .rule = "largest"}).find("expected > 0"), std::string::npos);
  EXPECT_EQ(select(rule_model(), {.threshold = 0.25, .budget = "2", .rule = "largest"}).threshold, 0.25);
  EXPECT_EQ(select(rule_model(), {.budget = "4", .force = true, .rule = "largest"}).selected, 4);
  NamedTensors broken = rule_model();
  broken[0].second[2] = std::nanf("");
  EXPECT_THROW(select(broken, {.budget = "2", .rule = "random"}), BadFile);
}

// Many equal magnitudes, so that ties straddle the pieces that threads work on.
NamedTensors tied_model(at::ScalarType dtype) {
  const torch::Tensor big = torch::randn({3, 70001}, torch::kFloat).mul(8).round().div(1024);
  const torch::Tensor strided = torch::randn({500, 400}).t().mul(4).round().div(512);
  return {{"big", big.to(dtype)}, {"strided", strided.to(dtype)}, {"ones", torch::ones({77}, dtype)}};
}

TEST(SelectionRules, MasksAreTheSameAtEveryThreadCountInEveryType) {
  const int before = at::get_num_threads();
  for (const auto dtype : {torch::kFloat, torch::kBFloat16, torch::kHalf}) {
    const NamedTensors scope = tied_model(dtype);
    std::vector<torch::Tensor> moved;
    for (const auto& item : scope) moved.push_back(item.second + torch::randn_like(item.second).mul(3).round().div(256));
    const TunedTensors tuned = [&](const std::string& name, const torch::Tensor&) { return moved[name == "big" ? 0 : name == "strided" ? 1 : 2]; };
    for (const auto& rule : selection_names()) {
      std::vector<Positions> got;
      for (const int threads : {1, 2, 5}) {
        at::set_num_threads(threads);
        got.push_back(positions_of(select(scope, {.budget = "12345", .rule = rule, .seed = 3, .tuned = rule == "changed" ? tuned : TunedTensors{}})));
      }
      EXPECT_TRUE(got[0] == got[1] && got[0] == got[2]) << rule << " " << dtype;
      int64_t count = 0;
      for (const auto& part : got[0]) count += static_cast<int64_t>(part.size());
      if (rule != "below") {
        EXPECT_EQ(count, 12345) << rule;
      }
    }
  }
  at::set_num_threads(before);
}

TEST(SelectionRules, AgreeWithSortingTheExactStoredNumbers) {
  for (const auto dtype : {torch::kFloat, torch::kBFloat16, torch::kHalf}) {
    const NamedTensors scope = tied_model(dtype);
    const torch::Tensor all = torch::cat({scope[0].second.contiguous().view(-1), scope[1].second.contiguous().view(-1), scope[2].second}).to(torch::kDouble).abs();
    const int64_t first = scope[0].second.numel(), second = scope[1].second.numel();
    const auto of_model = [&](const Selection& selection) {
      return torch::cat({selection.mask[0].indices.to(torch::kLong), selection.mask[1].indices.to(torch::kLong) + first, selection.mask[2].indices.to(torch::kLong) + first + second});
    };
    const torch::Tensor order = std::get<1>(all.sort(/*stable=*/true, /*dim=*/0, /*descending=*/true)).narrow(0, 0, 5000);
    EXPECT_TRUE(of_model(select(scope, {.budget = "5000", .rule = "largest"})).equal(std::get<0>(order.sort()))) << dtype;
    const Selection even = select(scope, {.budget = "5000", .rule = "smallest_per_tensor"});
    for (size_t i = 0; i < scope.size(); ++i) {
      const torch::Tensor flat = scope[i].second.contiguous().view(-1).to(torch::kDouble).abs();
      const torch::Tensor least = std::get<1>(flat.sort(/*stable=*/true, 0, false)).narrow(0, 0, even.mask[i].indices.numel());
      EXPECT_TRUE(even.mask[i].indices.to(torch::kLong).equal(std::get<0>(least.sort()))) << dtype;
      EXPECT_NEAR(static_cast<double>(even.mask[i].indices.numel()), 5000.0 * flat.numel() / all.numel(), 1.0);
    }
  }
}

RC_GTEST_PROP(SelectionProperties, BudgetsAndThresholdsAgree, (std::vector<int16_t> numbers, uint16_t wanted)) {
  RC_PRE(!numbers.empty());
  const auto total = static_cast<int64_t>(numbers.size());
  const int64_t count = 1 + wanted % total;
  const torch::Tensor weights = torch::tensor(std::vector<float>(numbers.begin(), numbers.end())) / 7;
  const NamedTensors scope = {{"first", weights.narrow(0, 0, total / 2)}, {"second", weights.narrow(0, total / 2, total - total / 2)}};
  NamedTensors full;
  for (const auto& item : scope)
    if (item.second.numel()) full.push_back(item);

  const Selection by_budget = select(full, {.budget = std::to_string(count), .force = true});
  const Selection by_threshold = select(full, {.threshold = by_budget.threshold, .force = true});
  RC_ASSERT(by_budget.selected == by_threshold.selected);
  for (size_t i = 0; i < full.size(); ++i) RC_ASSERT(by_budget.mask[i].indices.equal(by_threshold.mask[i].indices));

  // The mask is { |p| < threshold }, and no threshold comes nearer to the budget.
  std::vector<double> magnitudes;
  for (int64_t i = 0; i < total; ++i) magnitudes.push_back(std::fabs(static_cast<double>(weights[i].item<float>())));
  std::sort(magnitudes.begin(), magnitudes.end());
  const auto below = [&](double bound) { return std::lower_bound(magnitudes.begin(), magnitudes.end(), bound) - magnitudes.begin(); };
  RC_ASSERT(by_budget.selected == below(by_budget.threshold));
  for (const double magnitude : magnitudes)
    for (const int64_t other : {below(magnitude), below(std::nextafter(magnitude, 1e9))})
      if (other > 0) RC_ASSERT(std::abs(by_budget.selected - count) <= std::abs(other - count));
}

}  // namespace
}  // namespace sara
