// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/values.h"

#include <gtest/gtest.h>

#include "sara/base/error.h"
#include "sara/sparse/gather_scatter.h"
#include "sara/sparse/selection.h"

namespace sara {
namespace {

TEST(GatherScatter, HonourStridesWithoutCopyingTheDenseTensor) {
  const torch::Tensor dense = torch::randn({4, 3, 5, 5}).contiguous(at::MemoryFormat::ChannelsLast);
  const torch::Tensor indices = torch::tensor({0, 7, 31, 140, 299}, torch::kInt);
  const torch::Tensor flat = dense.contiguous().view(-1);
  EXPECT_TRUE(gather(dense, indices).equal(flat.index_select(0, indices)));
  torch::Tensor sum = torch::ones({5});
  gather_add_(sum, dense, indices);
  EXPECT_TRUE(sum.equal(1 + flat.index_select(0, indices)));
  scatter_(dense, indices, torch::arange(5, torch::kFloat));
  EXPECT_TRUE(dense.contiguous().view(-1).index_select(0, indices).equal(torch::arange(5, torch::kFloat)));
  EXPECT_EQ(dense.contiguous().view(-1).ne(flat).sum().item<int>(), 5);
  const torch::Tensor transposed = torch::randn({3, 4}).t();
  EXPECT_FLOAT_EQ(gather(transposed, torch::tensor({5}, torch::kInt)).item<float>(), transposed[1][2].item<float>());
}

TEST(GatherScatter, RoundToNearestEvenAndKeepTheSignOfZero) {
  for (const auto dtype : {torch::kBFloat16, torch::kHalf}) {
    const torch::Tensor dense = torch::zeros({1000}, dtype), values = torch::randn({1000});
    const torch::Tensor indices = torch::arange(1000, torch::kInt);
    scatter_(dense, indices, values);
    EXPECT_TRUE(dense.equal(values.to(dtype)));
  }
  EXPECT_TRUE(std::signbit(gather(torch::tensor({-0.0f}), torch::zeros({1}, torch::kInt)).item<float>()));
}

struct ValuesIn : testing::TestWithParam<at::ScalarType> {
  torch::Tensor a = torch::randn({30, 20}).to(GetParam()), b = torch::randn({50}).to(GetParam());
  torch::Tensor a0 = a.clone(), b0 = b.clone();
  Selection selection = select({{"a", a}, {"none", torch::ones({4}).to(GetParam())}, {"b", b}}, {.threshold = 0.3});
};

TEST_P(ValuesIn, LieInBackwardOrderAndScatterBackToTheSameBits) {
  const Values values(selection.mask);
  ASSERT_EQ(values.slots().size(), 2u);
  EXPECT_EQ(values.slots()[0].name, "b");
  EXPECT_EQ(values.slots()[0].begin, 0);
  EXPECT_EQ(values.slots()[1].end, values.active());
  values.scatter_();
  EXPECT_TRUE(a.equal(a0));
  EXPECT_TRUE(b.equal(b0));
  values.verify_frozen();
}

TEST_P(ValuesIn, FreeMaskedWeightsAndGuardEveryOther) {
  const Values values(selection.mask);
  values.values().add_(1);
  values.scatter_();
  values.verify_frozen();  // the mask may move
  const torch::Tensor moved = a.ne(a0).view(-1).nonzero().view(-1);
  EXPECT_TRUE(moved.equal(selection.mask[0].indices.to(torch::kLong)));
  const int64_t frozen = a0.abs().to(torch::kFloat).view(-1).argmax().item<int64_t>();
  const torch::Tensor bit = a.view(-1)[frozen];
  bit.copy_(bit.to(torch::kFloat) * 1.01);
  EXPECT_THROW(values.verify_frozen(), InternalError);
}

TEST_P(ValuesIn, ReselectionKeepsSurvivorsBitForBitAndLeaversInTheResult) {
  Values values(selection.mask);
  values.values().mul_(2);  // those above 0.15 leave
  values.exp_avg().uniform_();
  values.exp_avg_sq().uniform_();
  values.scatter_();
  const torch::Tensor v = values.values().clone(), m = values.exp_avg().clone(), s = values.exp_avg_sq().clone(), base = values.base().clone();
  auto before = values.learned();
  for (Learned& item : before) item.values = item.values.clone();
  const torch::Tensor dense = a.clone();
  values.reselect_(0.3);
  const torch::Tensor stay = v.abs().lt(0.3);
  EXPECT_TRUE(values.values().equal(v.masked_select(stay)));
  EXPECT_TRUE(values.exp_avg().equal(m.masked_select(stay)));
  EXPECT_TRUE(values.exp_avg_sq().equal(s.masked_select(stay)));
  EXPECT_TRUE(values.base().equal(base.masked_select(stay)));
  EXPECT_TRUE(a.equal(dense));
  EXPECT_GT(values.active(), 0);
  EXPECT_LT(values.active(), values.selected());
  EXPECT_EQ(values.below(0.3), values.active());
  const auto after = values.learned();
  ASSERT_EQ(after.size(), before.size());
  for (size_t i = 0; i < after.size(); ++i) {
    EXPECT_EQ(after[i].name, i ? "b" : "a");
    EXPECT_TRUE(after[i].indices.equal(before[i].indices));
    EXPECT_TRUE(after[i].values.equal(before[i].values));
    EXPECT_TRUE(after[i].base.equal(before[i].base));
  }
  values.reselect_(1e-30);  // an empty set is legal
  EXPECT_EQ(values.active(), values.values().abs().lt(1e-30).sum().item<int64_t>());
  values.verify_frozen();
}

INSTANTIATE_TEST_SUITE_P(EveryDtype, ValuesIn, testing::Values(torch::kFloat, torch::kBFloat16, torch::kHalf));

}  // namespace
}  // namespace sara
