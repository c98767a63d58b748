// SPDX-License-Identifier: Apache-2.0
// Blocks that go through their tokens or pictures in pieces: the same gradients as in one piece.
#include <ATen/ops/convolution_backward.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "sara/ops/feed_forward.h"
#include "sara/ops/sampled_convolution.h"
#include "sara/sparse/capture.h"

namespace sara {
namespace {

double relative(const torch::Tensor& got, const torch::Tensor& expected) { return (got - expected).norm().item<double>() / expected.norm().item<double>(); }

// 700 tokens of 640 channels are two pieces; with dense gradients, that torch's autograd takes on, they are one.
TEST(Pieces, OfTheFeedForwardGiveTheGradientsOfTheWhole) {
  constexpr int64_t kTokens = 700, kChannels = 640;
  torch::manual_seed(3);
  const auto weight = [](at::IntArrayRef sizes) { return torch::randn(sizes) * 0.04; };
  const FeedForwardParameters p{1 + weight({kChannels}), weight({kChannels}), weight({8 * kChannels, kChannels}), weight({8 * kChannels}), weight({kChannels, 4 * kChannels}), weight({kChannels}), 1e-5};
  const NamedTensors named{{"norm_weight", p.norm_weight}, {"norm_bias", p.norm_bias}, {"in_weight", p.in_weight}, {"in_bias", p.in_bias}, {"out_weight", p.out_weight}, {"out_bias", p.out_bias}};
  const torch::Tensor x = torch::randn({1, kTokens, kChannels}), given = torch::randn_like(x);
  const auto pass = [&](MemoryLevel level) {
    const torch::Tensor input = x.clone().requires_grad_();
    const torch::Tensor out = feed_forward_block(input, p, level);
    out.backward(given);
    return std::pair{out.detach(), input.grad()};
  };
  for (const auto& [name, tensor] : named) tensor.set_requires_grad(true);
  const auto [whole, whole_input] = pass(MemoryLevel::n0);
  std::vector<torch::Tensor> dense;
  for (const auto& [name, tensor] : named) dense.push_back(tensor.grad().clone());

  Mask mask;
  for (const auto& [name, tensor] : named) mask.push_back({name, tensor, torch::rand({tensor.numel()}).lt(0.05).nonzero().view(-1).to(torch::kInt)});
  Values values(mask);
  const Capture capture(values, named);
  for (const auto level : {MemoryLevel::n0, MemoryLevel::n1}) {
    values.clear_gradient_();
    const auto [out, of_input] = pass(level);
    EXPECT_LT(relative(out, whole), 1e-6);
    EXPECT_LT(relative(of_input, whole_input), 1e-5);
    for (size_t i = 0; i < values.slots().size(); ++i) {
      const auto& slot = values.slots()[i];
      const torch::Tensor& expected = dense[named.size() - 1 - i];  // slots lie in backward order
      EXPECT_LT(relative(values.gradient_of(i), expected.view(-1).index_select(0, slot.indices.to(torch::kLong))), 1e-5) << slot.name;
    }
  }
}

// Each picture is a piece of its own: with three columns of the kernel its lines take 20 MB.
TEST(Pieces, OfAConvolutionsPicturesAddUp) {
  constexpr int64_t kIn = 64, kOut = 2, kSide = 160;
  const torch::Tensor input = torch::randn({3, kIn, kSide, kSide}), gradient = torch::randn({3, kOut, kSide, kSide}), weight = torch::zeros({kOut, kIn, 3, 3});
  const torch::Tensor indices = torch::arange(0, weight.numel(), 7, torch::kInt), starts = torch::searchsorted(indices.to(torch::kLong), torch::arange(0, kOut + 1) * (kIn * 9));
  const torch::Tensor out = torch::zeros({indices.numel()});
  ASSERT_TRUE(sampled_convolution_add_(out, {indices, starts}, gradient, input, {3, 1, 1}));
  const torch::Tensor expected = std::get<1>(at::convolution_backward(gradient.to(torch::kDouble), input.to(torch::kDouble), weight.to(torch::kDouble), c10::nullopt, {1, 1}, {1, 1}, {1, 1}, false, {0, 0},
                                                                      1, {false, true, false}));
  EXPECT_LT(relative(out, expected.view(-1).index_select(0, indices.to(torch::kLong))), 1e-5);
}

}  // namespace
}  // namespace sara
