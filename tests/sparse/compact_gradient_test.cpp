// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/compact_gradient.h"

#include <gtest/gtest.h>

namespace sara {
namespace {

const CompactGradient::Spans kSpans{{0, 3}, {3, 5}, {5, 9}};

CompactGradient filled() {
  CompactGradient gradient;
  gradient.reset(kSpans, torch::kCPU);
  gradient.span(0).copy_(torch::tensor({1.0f, 2.0f, 3.0f}));
  gradient.span(2).copy_(torch::tensor({6.0f, 7.0f, 8.0f, 9.0f}));
  return gradient;
}

const torch::Tensor kFilled = torch::tensor({1.0f, 2.0f, 3.0f, 0.0f, 0.0f, 6.0f, 7.0f, 8.0f, 9.0f});

TEST(CompactGradient, SpansStartAtZeroAndAddUp) {
  CompactGradient gradient;
  gradient.reset(kSpans, torch::kCPU);
  EXPECT_TRUE(gradient.span(1).equal(torch::zeros({2})));
  gradient.span(1).add_(2);
  gradient.span(1).add_(1);
  EXPECT_TRUE(gradient.span(1).equal(torch::full({2}, 3.0f)));
  gradient.clear_();
  EXPECT_TRUE(gradient.span(1).equal(torch::zeros({2})));
}

TEST(CompactGradient, TheWholeIsTheSpansSideBySideAndStaysUntilItIsCleared) {
  CompactGradient gradient = filled();
  const torch::Tensor whole = gradient.whole();
  EXPECT_TRUE(whole.equal(kFilled));
  gradient.span(1).fill_(5);  // lies in it now
  EXPECT_TRUE(whole.narrow(0, 3, 2).equal(torch::full({2}, 5.0f)));
  EXPECT_FALSE(gradient.kept_whole());
  gradient.clear_();
  EXPECT_TRUE(gradient.whole().equal(torch::zeros({9})));
}

TEST(CompactGradient, AKeptWholeStaysInPlace) {
  CompactGradient gradient = filled();
  const torch::Tensor whole = gradient.keep_whole();
  EXPECT_TRUE(gradient.kept_whole() && whole.equal(kFilled));
  gradient.clear_();
  EXPECT_TRUE(whole.equal(torch::zeros({9})));
  gradient.span(2).fill_(4);
  EXPECT_TRUE(whole.narrow(0, 5, 4).equal(torch::full({4}, 4.0f)));
}

TEST(CompactGradient, EntriesThatStayKeepTheirNumbers) {
  for (const bool kept_whole : {false, true}) {
    CompactGradient gradient = filled();
    if (kept_whole) gradient.keep_whole();
    const torch::Tensor stay[] = {torch::tensor({0, 2}), torch::tensor({1}), torch::tensor(std::vector<int64_t>{})};
    for (size_t slot = 0; slot < 3; ++slot) gradient.keep_entries_(slot, stay[slot]);
    gradient.finish_keeping_();
    EXPECT_TRUE(gradient.span(0).equal(torch::tensor({1.0f, 3.0f})));
    EXPECT_EQ(gradient.span(2).numel(), 0);
    EXPECT_TRUE(gradient.whole().equal(torch::tensor({1.0f, 3.0f, 0.0f})));
    gradient.span(1).add_(1);
    EXPECT_EQ(gradient.whole()[2].item<float>(), 1);
  }
}

TEST(CompactGradient, NothingSelectedIsAnEmptyGradient) {
  CompactGradient gradient;
  gradient.reset({}, torch::kCPU);
  EXPECT_EQ(gradient.whole().numel(), 0);
  gradient.clear_();
  gradient.finish_keeping_();
  EXPECT_EQ(gradient.keep_whole().numel(), 0);
}

}  // namespace
}  // namespace sara
