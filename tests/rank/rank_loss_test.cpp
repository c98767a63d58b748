// SPDX-License-Identifier: Apache-2.0
#include "sara/rank/rank_loss.h"

#include <gtest/gtest.h>

#include "sara/rank/layer_schedule.h"
#include "sara/rank/nuclear_norm.h"
#include "sara/sparse/selection.h"

namespace sara {
namespace {

struct RankLossTest : testing::Test {
  torch::Tensor a = torch::randn({8, 12}), b = torch::randn({10, 6}), conv = torch::randn({4, 3, 3, 3}), bias = torch::randn({16});
  Values values{select({{"a", a}, {"conv", conv}, {"b", b}, {"bias", bias}}, {.threshold = 0.6}).mask};

  double norm(const std::string& name) const {
    for (const auto& slot : values.slots())
      if (slot.name == name)
        return nuclear_norm(Values::span(values.values(), slot), slot.indices, slot.weight.size(0), slot.weight.numel() / slot.weight.size(0)).value;
    return -1;
  }
};

TEST_F(RankLossTest, IsLambdaTimesTheMeanOrSumOverItsScope) {
  const double linear = norm("a") + norm("b"), all = linear + norm("conv");
  EXPECT_NEAR(add_rank_gradient_(values, 1, {.lambda_rank = 0.5, .mode = "all"}), 0.5 * linear / 2, 1e-5);
  EXPECT_NEAR(add_rank_gradient_(values, 1, {.lambda_rank = 0.5, .mode = "all", .reduction = "sum"}), 0.5 * linear, 1e-5);
  EXPECT_NEAR(add_rank_gradient_(values, 1, {.lambda_rank = 0.5, .mode = "all", .layers = "all"}), 0.5 * all / 3, 1e-5);
}

TEST_F(RankLossTest, OneMatrixAStepIsTheWholeLossOnAverage) {
  for (const char* reduction : {"mean", "sum"}) {
    double sum = 0;
    for (int64_t step = 1; step <= 4000; ++step)
      for (const auto& [index, weight] : regularised_layers(5, step, "one", reduction, 7)) sum += weight * static_cast<double>(index + 1);
    EXPECT_NEAR(sum / 4000, std::string(reduction) == "mean" ? 3 : 15, std::string(reduction) == "mean" ? 0.1 : 0.5);
  }
  EXPECT_EQ(regularised_layers(5, 9, "one", "mean", 7)[0].index, regularised_layers(5, 9, "one", "mean", 7)[0].index);
}

TEST_F(RankLossTest, AddsToTheGradientOnlyInItsScopeAndEquallyEachTime) {
  add_rank_gradient_(values, 1, {.lambda_rank = 1, .mode = "all"});
  const torch::Tensor first = values.gradient().clone();
  for (const auto& slot : values.slots())
    EXPECT_EQ(Values::span(first, slot).abs().max().item<float>() > 0, slot.weight.dim() == 2) << slot.name;
  values.clear_gradient_();
  add_rank_gradient_(values, 1, {.lambda_rank = 1, .mode = "all"});
  EXPECT_TRUE(values.gradient().equal(first));
  values.clear_gradient_();
  EXPECT_EQ(add_rank_gradient_(values, 1, {.lambda_rank = 0}), 0);
  EXPECT_EQ(values.gradient().abs().max().item<float>(), 0);
}

TEST_F(RankLossTest, ItsSecondsAreMeasuredWithoutATrace) {
  const RankLossOptions one{.lambda_rank = 1}, all{.lambda_rank = 1, .mode = "all"};
  EXPECT_GT(rank_seconds(values, one), 0);
  EXPECT_GT(rank_seconds(values, all), 0);
  EXPECT_EQ(rank_seconds(values, {.lambda_rank = 0}), 0);
  EXPECT_EQ(values.gradient().abs().max().item<float>(), 0);
}

TEST_F(RankLossTest, ReadsTheActiveValuesOnlyAfterReselection) {
  for (const auto& slot : values.slots())
    if (slot.name == "b") Values::span(values.values(), slot).fill_(9);
  values.reselect_(0.6);
  EXPECT_NEAR(add_rank_gradient_(values, 1, {.lambda_rank = 1, .mode = "all"}), norm("a"), 1e-5);  // b has left the scope
}

TEST_F(RankLossTest, SpectrumIsTheMeanOverTheMatricesOfTheFirstMask) {
  const double norms = norm("a") + norm("b");
  EXPECT_NEAR(mean_spectrum(values.learned(), "linear").nuclear_norm, norms / 2, 1e-3);
  EXPECT_NEAR(mean_spectrum(values.learned(), "all").nuclear_norm, (norms + norm("conv")) / 3, 1e-3);
  EXPECT_GT(mean_spectrum(values.learned(), "linear").effective_rank, 1);
  values.reselect_(0.1);  // what left the active set still counts
  EXPECT_NEAR(mean_spectrum(values.learned(), "linear").nuclear_norm, norms / 2, 1e-3);
}

TEST(RankLoss, OfAModelWithoutMatricesIsZero) {
  const torch::Tensor bias = torch::randn({50});
  const Values values(select({{"bias", bias}}, {.threshold = 0.3}).mask);
  EXPECT_EQ(add_rank_gradient_(values, 1, {}), 0);
}

}  // namespace
}  // namespace sara
