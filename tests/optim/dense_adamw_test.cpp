// SPDX-License-Identifier: Apache-2.0
#include "sara/optim/dense_adamw.h"

#include <gtest/gtest.h>

namespace sara {
namespace {

TEST(DenseAdamW, GoesOnBitForBitFromASavedState) {
  const torch::Tensor start = torch::randn({6, 5}).to(torch::kBFloat16), gradients = torch::randn({20, 6, 5}).to(torch::kBFloat16);
  const auto run = [&](DenseAdamW& optimizer, const torch::Tensor& weight, int64_t from, int64_t to) {
    for (int64_t t = from; t < to; ++t) {
      weight.mutable_grad() = gradients[t].clone();
      optimizer.step(1e-2, 0.5);
    }
  };
  const torch::Tensor whole = start.clone().requires_grad_(), half = start.clone().requires_grad_(), rest = torch::zeros_like(start).requires_grad_();
  DenseAdamW a({whole}, {}), b({half}, {}), c({rest}, {});
  run(a, whole, 0, 20);
  run(b, half, 0, 10);
  std::map<std::string, torch::Tensor> saved;
  b.save(saved, {"w"});
  c.load(saved, {"w"});
  run(c, rest, 10, 20);
  EXPECT_EQ(c.steps(), 20);
  EXPECT_TRUE(rest.equal(whole));
  EXPECT_TRUE(c.values()[0].equal(a.values()[0]));
  EXPECT_FALSE(whole.equal(start));
}

TEST(DenseAdamW, KeepsFp32MastersOfHalfPrecisionWeights) {
  const torch::Tensor weight = torch::ones({4}, torch::kBFloat16).requires_grad_();
  DenseAdamW optimizer({weight}, {.weight_decay = 0});
  for (int i = 0; i < 100; ++i) {
    weight.mutable_grad() = torch::ones({4}, torch::kBFloat16);
    optimizer.step(1e-4);  // below half a unit in the last place: would be lost in bf16
  }
  EXPECT_NEAR(optimizer.values()[0][0].item<float>(), 0.99f, 1e-5);
  EXPECT_TRUE(weight.equal(torch::full({4}, 0.99f).to(torch::kBFloat16)));
}

TEST(DenseAdamW, ReportsTheNormOverAllGradients) {
  const torch::Tensor a = torch::zeros({1}).requires_grad_(), b = torch::zeros({1}).requires_grad_(), unused = torch::zeros({1}).requires_grad_();
  DenseAdamW optimizer({a, b, unused}, {});
  a.mutable_grad() = torch::full({1}, 3.0f);
  b.mutable_grad() = torch::full({1}, -4.0f);
  EXPECT_DOUBLE_EQ(optimizer.grad_norm(), 5);
  optimizer.clear_gradients();
  EXPECT_DOUBLE_EQ(optimizer.grad_norm(), 0);
}

}  // namespace
}  // namespace sara
