// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/linear.h"

#include <gtest/gtest.h>

#include "sara/layers/conv.h"
#include "sara/layers/embedding.h"

namespace sara {
namespace {

const torch::TensorOptions kFloat = torch::kFloat32;

TEST(Linear, ComputesTheProductWithTheTransposedWeightPlusBias) {
  const torch::NoGradGuard no_grad;
  Linear linear(2, 3, true, kFloat);
  linear.weight.copy_(torch::tensor({{1.0, 2.0}, {3.0, 4.0}, {5.0, 6.0}}));
  linear.bias.copy_(torch::tensor({10.0, 20.0, 30.0}));
  EXPECT_TRUE(linear.forward(torch::tensor({{1.0f, 1.0f}})).equal(torch::tensor({{13.0f, 27.0f, 41.0f}})));
}

TEST(Linear, WithoutBiasRegistersTheWeightAlone) {
  Linear linear(2, 3, false, kFloat);
  EXPECT_EQ(linear.parameters().size(), 1u);
  EXPECT_TRUE(linear.weight.requires_grad());
}

TEST(Linear, AcceptsAnInputThatIsNotContiguous) {
  const torch::NoGradGuard no_grad;
  Linear linear(2, 3, true, kFloat);
  linear.weight.uniform_();
  linear.bias.uniform_();
  const auto x = torch::rand({2, 5});
  EXPECT_TRUE(linear.forward(x.t()).allclose(linear.forward(x.t().contiguous())));
}

TEST(Conv2d, SumsTheWindowAndPadsWithZeros) {
  const torch::NoGradGuard no_grad;
  Conv2d conv({.in = 1, .out = 1}, kFloat);
  conv.weight.fill_(1);
  conv.bias.fill_(0.5);
  const auto y = conv.forward(torch::ones({1, 1, 3, 3}));
  EXPECT_TRUE(y.equal(torch::tensor({{{{4.5f, 6.5f, 4.5f}, {6.5f, 9.5f, 6.5f}, {4.5f, 6.5f, 4.5f}}}})));
}

TEST(Conv2d, StrideAndKernelSetTheShape) {
  Conv2d conv({.in = 2, .out = 3, .kernel = 5, .stride = 2, .padding = 2}, torch::kBFloat16);
  const auto y = conv.forward(torch::zeros({4, 2, 9, 6}, torch::kBFloat16));
  EXPECT_EQ(y.sizes(), (std::vector<int64_t>{4, 3, 5, 3}));
  EXPECT_EQ(y.scalar_type(), torch::kBFloat16);
}

TEST(Embedding, GivesTheRowsOfItsTable) {
  const torch::NoGradGuard no_grad;
  Embedding table(3, 2, kFloat);
  table.weight.copy_(torch::tensor({{0.0, 1.0}, {2.0, 3.0}, {4.0, 5.0}}));
  EXPECT_TRUE(table.forward(torch::tensor({{2, 0}})).equal(torch::tensor({{{4.0f, 5.0f}, {0.0f, 1.0f}}})));
}

TEST(Layers, OnTheMetaDeviceTakeNoMemory) {
  Linear linear(1 << 20, 1 << 20, true, torch::device(torch::kMeta));
  EXPECT_EQ(linear.weight.numel(), int64_t{1} << 40);
}

}  // namespace
}  // namespace sara
