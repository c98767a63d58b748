// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/selection.h"

#include <gtest/gtest.h>

#include <cmath>

#include "sara/base/error.h"
#include "sara/sparse/scope.h"

namespace sara {
namespace {

NamedTensors model() {
  return {{"conv.weight", torch::tensor({0.001f, -0.5f, 0.003f, 0.4f}).view({1, 4, 1, 1})},
          {"norm.weight", torch::ones({3})},
          {"linear.bias", torch::tensor({-0.0015f, 1.0f})}};
}

TEST(Selection, TakesEveryKindOfTensorBelowOneThreshold) {
  const Selection selection = select(model(), {.threshold = 2e-3});
  ASSERT_EQ(selection.mask.size(), 3u);
  EXPECT_EQ(selection.mask[0].indices.numel(), 1);
  EXPECT_EQ(selection.mask[1].indices.numel(), 0);
  EXPECT_EQ(selection.mask[2].indices[0].item<int>(), 0);
  EXPECT_EQ(selection.selected, 2);
  EXPECT_EQ(selection.total, 9);
}

TEST(Selection, ABudgetFixesTheThresholdAndBack) {
  const Selection by_budget = select(model(), {.budget = "3"});
  EXPECT_EQ(by_budget.selected, 3);
  const Selection by_threshold = select(model(), {.threshold = by_budget.threshold});
  for (size_t i = 0; i < by_budget.mask.size(); ++i) EXPECT_TRUE(by_budget.mask[i].indices.equal(by_threshold.mask[i].indices));
}

TEST(Selection, RefusesNothingAndMoreThanHalfAndSaysWhatWouldDo) {
  try {
    select(model(), {.threshold = 100});
    FAIL();
  } catch (const InvalidArgument& error) {
    const std::string text = error.what();
    EXPECT_NE(text.find("threshold: 100 selects 100 % of the weights (expected more than 0 % and at most 50 %, got 9 of 9)"), std::string::npos) << text;
    EXPECT_NE(text.find("gives about 5 %"), std::string::npos);
    EXPECT_NE(text.find("conv.weight  4 of 4 (100 %)"), std::string::npos);
    EXPECT_NE(text.find("all 3 tensors  9 of 9 (100 %)"), std::string::npos);
  }
  EXPECT_THROW(select(model(), {.threshold = 1e-9}), InvalidArgument);
  EXPECT_EQ(select(model(), {.threshold = 100, .force = true}).selected, 9);
  EXPECT_EQ(select(model(), {.threshold = 1e-9, .force = true}).selected, 0);
  EXPECT_THROW(select(model(), {.threshold = 1e-3, .budget = "5%"}), InvalidArgument);
}

TEST(Selection, RefusesNanWeightsByNameWithABudgetToo) {
  for (const char* budget : {"20%", "100%"}) {
    NamedTensors tensors = model();
    tensors[1].second[1] = std::nanf("");
    EXPECT_THROW(select(tensors, {.budget = budget}), BadFile) << budget;
  }
}

TEST(Scope, PatternsNarrowAndTiedTensorsCountOnce) {
  NamedTensors tensors = model();
  tensors.emplace_back("tied.weight", tensors[0].second);
  EXPECT_EQ(in_scope(tensors, {}, {}).size(), 3u);
  EXPECT_EQ(in_scope(tensors, {"weight$"}, {}).size(), 2u);
  EXPECT_EQ(in_scope(tensors, {}, {"^norm", "bias"}).size(), 1u);
  EXPECT_THROW(in_scope(tensors, {"("}, {}), InvalidArgument);
  EXPECT_THROW(in_scope({{"a", torch::zeros({1}, torch::kDouble)}}, {}, {}), InvalidArgument);
}

}  // namespace
}  // namespace sara
