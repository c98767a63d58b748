// SPDX-License-Identifier: Apache-2.0
#include "sara/optim/ema.h"

#include <gtest/gtest.h>

#include "sara/base/error.h"

namespace sara {
namespace {

TEST(Ema, FollowsTheFormula) {
  const torch::Tensor p = torch::zeros({2});
  Ema ema({p}, 0.2);
  p.fill_(1);
  ema.update();  // d = min(0.2, 1/10)
  EXPECT_FLOAT_EQ(ema.averages()[0][0].item<float>(), 0.9f);
  p.fill_(2);
  ema.update();  // d = min(0.2, 2/11)
  EXPECT_FLOAT_EQ(ema.averages()[0][0].item<float>(), 0.9f + (1 - 2.0f / 11) * 1.1f);
  p.fill_(0);
  ema.update();  // d = 0.2
  EXPECT_NEAR(ema.averages()[0][0].item<float>(), 0.2 * (0.9 + (1 - 2.0 / 11) * 1.1), 1e-6);
}

TEST(Ema, SwapsInAndBackBitForBit) {
  const torch::Tensor p = torch::randn({100}).to(torch::kBFloat16), before = p.clone();
  Ema ema({p});
  p.mul_(3);
  ema.update();
  const torch::Tensor live = p.clone();
  ema.swap_();
  EXPECT_TRUE(p.equal(ema.averages()[0].to(torch::kBFloat16)));
  EXPECT_THROW(ema.update(), InternalError);
  ema.swap_();
  EXPECT_TRUE(p.equal(live));
}

TEST(Ema, GoesOnFromSavedAverages) {
  const torch::Tensor p = torch::zeros({3}), q = torch::zeros({3});
  Ema whole({p}, 0.5), first({q}, 0.5);
  std::vector<torch::Tensor> saved;
  for (int i = 0; i < 20; ++i) {
    p.fill_(i);
    whole.update();
    if (i < 10) {
      q.fill_(i);
      first.update();
    }
  }
  Ema second({torch::zeros({3})}, 0.5);
  second.restore(first.averages(), first.updates());
  EXPECT_EQ(second.updates(), 10);
  EXPECT_TRUE(second.averages()[0].equal(first.averages()[0]));
  EXPECT_THROW(Ema({p}, 1.0), InvalidArgument);
}

}  // namespace
}  // namespace sara
