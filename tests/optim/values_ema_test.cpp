// SPDX-License-Identifier: Apache-2.0
#include "sara/optim/values_ema.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "sara/base/error.h"
#include "sara/sparse/selection.h"

namespace sara {
namespace {

// Averages computed afterwards from what the dense weights were after every step.
struct Offline {
  std::vector<torch::Tensor> history;
  torch::Tensor average(const torch::Tensor& start, double decay) const {
    torch::Tensor out = start.to(torch::kDouble);
    for (size_t n = 0; n < history.size(); ++n) {
      const double d = std::min(decay, (1.0 + double(n)) / (10.0 + double(n)));
      out = d * out + (1 - d) * history[n].to(torch::kDouble);
    }
    return out;
  }
};

TEST(ValuesEma, IsTheAverageOfTheWeightsAcrossAReselection) {
  const torch::Tensor a = torch::randn({20, 30}), b = torch::randn({40}), a0 = a.clone(), b0 = b.clone();
  Values values(select({{"a", a}, {"b", b}}, {.threshold = 0.6}).mask);
  ValuesEma ema(values, 0.7);
  Offline of_a, of_b;
  for (int step = 1; step <= 30; ++step) {
    values.values().add_(torch::randn_like(values.values()), 0.1);
    values.scatter_();
    if (step == 12) {
      values.reselect_(0.6);
      ema.reselected();
    }
    ema.update();
    of_a.history.push_back(a.clone());
    of_b.history.push_back(b.clone());
  }
  EXPECT_LT(values.active(), values.selected());  // some have left
  EXPECT_EQ(ema.updates(), 30);
  ema.scatter_();
  EXPECT_TRUE(a.to(torch::kDouble).allclose(of_a.average(a0, 0.7), 1e-5, 1e-6));
  EXPECT_TRUE(b.to(torch::kDouble).allclose(of_b.average(b0, 0.7), 1e-5, 1e-6));
  EXPECT_FALSE(a.equal(of_a.history.back()));
  EXPECT_TRUE(a.masked_select(a0.abs().ge(0.6)).equal(a0.masked_select(a0.abs().ge(0.6))));
  for (const Learned& item : ema.learned())  // the file holds what the model holds
    EXPECT_TRUE(item.values.equal(item.weight.view(-1).index_select(0, item.indices.to(torch::kLong)))) << item.name;
}

TEST(ValuesEma, RefusesADecayOfOne) {
  const Values values(select({{"a", torch::randn({30})}}, {.threshold = 0.3}).mask);
  EXPECT_THROW(ValuesEma(values, 1.0), InvalidArgument);
}

}  // namespace
}  // namespace sara
