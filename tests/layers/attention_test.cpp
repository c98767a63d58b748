// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/attention.h"

#include <gtest/gtest.h>
#include <torch/autograd.h>

#include <cmath>
#include <limits>

#include "sara/base/error.h"

namespace sara {
namespace {

torch::Tensor dense_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, int64_t heads,
                              bool causal) {
  std::vector<torch::Tensor> results;
  const auto qs = q.chunk(heads, 2), ks = k.chunk(heads, 2), vs = v.chunk(heads, 2);
  for (int64_t h = 0; h < heads; ++h) {
    auto scores = qs[h].matmul(ks[h].transpose(1, 2)) / std::sqrt(static_cast<double>(qs[h].size(2)));
    if (causal) {
      const auto later = torch::ones({q.size(1), k.size(1)}, torch::kBool).triu(1);
      scores = scores.masked_fill(later, -std::numeric_limits<double>::infinity());
    }
    results.push_back(scores.softmax(-1).matmul(vs[h]));
  }
  return torch::cat(results, 2);
}

torch::Tensor random(std::vector<int64_t> shape) {
  return torch::randn(shape, torch::kFloat64).set_requires_grad(true);
}

TEST(MultiHeadAttention, WithOneKeyGivesItsValue) {
  const auto v = torch::tensor({{{1.0f, 2.0f, 3.0f, 4.0f}}});
  const auto y = multi_head_attention(torch::randn({1, 3, 4}), torch::randn({1, 1, 4}), v, 2);
  EXPECT_TRUE(y.allclose(v.expand({1, 3, 4})));
}

TEST(MultiHeadAttention, WithEqualKeysGivesTheMeanOfTheValues) {
  const auto v = torch::tensor({{{1.0f, 2.0f}, {3.0f, 6.0f}}});
  const auto y = multi_head_attention(torch::randn({1, 1, 2}), torch::ones({1, 2, 2}), v, 1);
  EXPECT_TRUE(y.allclose(torch::tensor({{{2.0f, 4.0f}}})));
}

TEST(MultiHeadAttention, CausalKeepsTheFirstPositionToItself) {
  const auto v = torch::randn({1, 3, 4});
  const auto y = multi_head_attention(torch::randn({1, 3, 4}), torch::randn({1, 3, 4}), v, 2, /*causal=*/true);
  EXPECT_TRUE(y.select(1, 0).allclose(v.select(1, 0)));
}

TEST(MultiHeadAttention, ValuesAndGradientsEqualTheSoftmaxWrittenOut) {
  torch::manual_seed(1);
  for (const bool causal : {false, true}) {
    const int64_t keys = causal ? 5 : 7;
    const auto q = random({2, 5, 12}), k = random({2, keys, 12}), v = random({2, keys, 12});
    const auto cotangent = torch::randn({2, 5, 12}, torch::kFloat64);
    const auto got = multi_head_attention(q, k, v, 3, causal), expected = dense_attention(q, k, v, 3, causal);
    EXPECT_TRUE(got.allclose(expected, 1e-10, 1e-12));
    const auto got_gradients = torch::autograd::grad({(got * cotangent).sum()}, {q, k, v});
    const auto expected_gradients = torch::autograd::grad({(expected * cotangent).sum()}, {q, k, v});
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(got_gradients[i].allclose(expected_gradients[i], 1e-10, 1e-12)) << i;
  }
}

TEST(Attention, HasThePublishedParameterPaths) {
  Attention attention({.channels = 6, .context_channels = 4, .heads = 2}, torch::kFloat32);
  EXPECT_EQ(attention.named_parameters().keys(), (std::vector<std::string>{"to_q.weight", "to_k.weight", "to_v.weight",
                                                                           "to_out.0.weight", "to_out.0.bias"}));
  EXPECT_EQ(attention.forward(torch::zeros({1, 5, 6}), torch::zeros({1, 3, 4})).sizes(),
            (std::vector<int64_t>{1, 5, 6}));
}

TEST(Attention, UpcastInHalfPrecisionEqualsSinglePrecisionAttentionOfTheSameProjections) {
  torch::manual_seed(2);
  const torch::NoGradGuard no_grad;
  Attention attention({.channels = 16, .context_channels = 16, .heads = 2, .upcast = true}, torch::kBFloat16);
  for (auto& item : attention.named_parameters()) item.value().normal_();
  const auto p = attention.named_parameters();
  const auto x = torch::randn({1, 9, 16}).to(torch::kBFloat16);
  const auto project = [&](const char* name) { return at::linear(x, p[name]).to(torch::kFloat32); };
  const auto seen = multi_head_attention(project("to_q.weight"), project("to_k.weight"), project("to_v.weight"), 2);
  const auto expected = at::linear(seen.to(torch::kBFloat16), p["to_out.0.weight"], p["to_out.0.bias"]);
  EXPECT_TRUE(attention.forward(x, x).equal(expected));
}

TEST(Attention, HeadsThatDoNotDivideTheChannelsAreRefused) {
  EXPECT_THROW(Attention({.channels = 6, .context_channels = 6, .heads = 4}, torch::kFloat32), InvalidArgument);
}

}  // namespace
}  // namespace sara
