// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/transformer.h"

#include <gtest/gtest.h>

#include <cmath>

namespace sara {
namespace {

void randomize(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  for (auto& parameter : module.parameters()) parameter.uniform_(-0.5, 0.5);
}

TransformerOptions small(bool linear_projection) {
  return {.channels = 8,
          .heads = 2,
          .layers = 2,
          .cross_attention_dim = 6,
          .norm_groups = 4,
          .linear_projection = linear_projection};
}

TEST(FeedForward, GatesTheFirstHalfByTheGeluOfTheSecond) {
  const torch::NoGradGuard no_grad;
  FeedForward feed_forward(1, torch::kFloat32);
  auto p = feed_forward.named_parameters();
  p["net.0.proj.weight"].copy_(torch::cat({torch::full({4, 1}, 3.0), torch::full({4, 1}, 1.0)}));
  p["net.0.proj.bias"].fill_(0);
  p["net.2.weight"].fill_(1);
  p["net.2.bias"].fill_(0.25);
  // Four equal units of 3x · gelu(x) at x = 1, and the bias.
  const double gelu = 0.5 * (1 + std::erf(std::sqrt(0.5)));
  auto block = feed_forward.parameters();  // of a norm that gives 1
  block.norm_weight = torch::zeros({1});
  block.norm_bias = torch::ones({1});
  EXPECT_NEAR(feed_forward_block(torch::zeros({1, 1, 1}), block, MemoryLevel::n0).item<float>(), 4 * 3 * gelu + 0.25, 1e-5);
}

TEST(Transformer2D, WithAZeroOutputProjectionIsTheIdentity) {
  for (const bool linear : {false, true}) {
    Transformer2D transformer(small(linear), torch::kFloat32);
    randomize(transformer);
    const torch::NoGradGuard no_grad;
    transformer.named_parameters()["proj_out.weight"].fill_(0);
    transformer.named_parameters()["proj_out.bias"].fill_(0);
    const auto x = torch::randn({2, 8, 3, 5});
    EXPECT_TRUE(transformer.forward(x, torch::randn({2, 4, 6})).equal(x));
  }
}

TEST(Transformer2D, ConvolutionAndLinearProjectionComputeTheSameFromTheSameWeights) {
  torch::manual_seed(3);
  Transformer2D by_conv(small(false), torch::kFloat32), by_linear(small(true), torch::kFloat32);
  randomize(by_conv);
  const torch::NoGradGuard no_grad;
  for (auto& item : by_linear.named_parameters())
    item.value().copy_(by_conv.named_parameters()[item.key()].view(item.value().sizes()));
  const auto x = torch::randn({2, 8, 3, 5}), text = torch::randn({2, 4, 6});
  EXPECT_TRUE(by_conv.forward(x, text).allclose(by_linear.forward(x, text), 1e-4, 1e-5));
}

TEST(Transformer2D, TheTextChangesTheResultAndEveryParameterGetsAGradient) {
  torch::manual_seed(4);
  Transformer2D transformer(small(false), torch::kFloat32);
  randomize(transformer);
  const auto x = torch::randn({1, 8, 2, 2}), text = torch::randn({1, 3, 6});
  const auto y = transformer.forward(x, text);
  EXPECT_FALSE(y.allclose(transformer.forward(x, text + 1)));
  (y * torch::randn_like(y)).sum().backward();
  for (const auto& item : transformer.named_parameters())
    EXPECT_GT(item.value().grad().abs().sum().item<float>(), 0) << item.key();
}

}  // namespace
}  // namespace sara
