// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/sampled_linear.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/types.h>

namespace sara {
namespace {

torch::Tensor some_positions(int64_t rows, int64_t columns, double density) {
  return torch::rand({rows * columns}).lt(density).nonzero().view(-1).to(torch::kInt);
}

torch::Tensor row_starts_of(const torch::Tensor& indices, int64_t rows, int64_t columns) {
  return torch::searchsorted(indices.to(torch::kLong), torch::arange(0, rows + 1) * columns);
}

torch::Tensor sampled(const torch::Tensor& indices, const torch::Tensor& gradient, const torch::Tensor& input) {
  const torch::Tensor out = torch::zeros({indices.numel()});
  sampled_linear_add_({{out, {indices, row_starts_of(indices, gradient.size(1), input.size(1))}, TokenOperand(gradient)}}, TokenOperand(input));
  return out;
}

TEST(SampledLinear, OfTwoTokensIsTheSumOfTwoProducts) {
  const torch::Tensor gradient = torch::tensor({{1.f, 2.f}, {3.f, 4.f}}), input = torch::tensor({{5.f, 6.f, 7.f}, {8.f, 9.f, 10.f}});
  const torch::Tensor indices = torch::tensor({1, 3, 5}, torch::kInt);  // (0, 1), (1, 0), (1, 2)
  const torch::Tensor out = sampled(indices, gradient, input);
  EXPECT_TRUE(out.equal(torch::tensor({1.f * 6 + 3 * 9, 2.f * 5 + 4 * 8, 2.f * 7 + 4 * 10}))) << out;
}

struct LinearShape {
  int64_t tokens, out, in;
  double density;
};

struct SampledProduct : testing::TestWithParam<LinearShape> {};

TEST_P(SampledProduct, EqualsTheSelectedEntriesOfTheDenseProduct) {
  const auto [tokens, out, in, density] = GetParam();
  for (const auto dtype : {torch::kFloat, torch::kBFloat16, torch::kHalf}) {
    const torch::Tensor gradient = torch::randn({tokens, out}).to(dtype), input = torch::randn({tokens, in}).to(dtype);
    const torch::Tensor indices = some_positions(out, in, density);
    const torch::Tensor got = sampled(indices, gradient, input);
    const torch::Tensor expected = gradient.to(torch::kDouble).t().mm(input.to(torch::kDouble)).view(-1).index_select(0, indices.to(torch::kLong));
    EXPECT_LE((got - expected).abs().max().item<double>(), 2e-5 * std::sqrt(double(tokens)) + 1e-6);
  }
}
INSTANTIATE_TEST_SUITE_P(Shapes, SampledProduct, testing::Values(LinearShape{1, 3, 5, 0.9}, LinearShape{77, 40, 70, 0.3}, LinearShape{300, 33, 1000, 0.05}, LinearShape{1100, 65, 16, 1.1}, LinearShape{1100, 203, 150, 0.004}, LinearShape{40, 90, 300, 0.01}));

TEST(SampledLinear, AFeatureMapIsReadAsItsTokens) {
  const torch::Tensor map = torch::randn({3, 20, 9, 30}), input = torch::randn({3 * 270, 17}), tokens = map.flatten(2).transpose(1, 2).reshape({-1, 20});
  for (const double density : {0.5, 0.05}) {
    const torch::Tensor indices = some_positions(20, 17, density), got = torch::zeros({indices.numel()}), sums = torch::zeros({20});
    sampled_linear_add_({{got, {indices, row_starts_of(indices, 20, 17)}, TokenOperand::of_map(map), sums}}, TokenOperand(input));
    EXPECT_TRUE(got.equal(sampled(indices, tokens, input)));
    EXPECT_TRUE(sums.to(torch::kDouble).allclose(tokens.to(torch::kDouble).sum(0), 1e-5, 1e-4));
  }
}

TEST(SampledLinear, AFeatureMapMayBeTheInputToo) {
  const torch::Tensor map = torch::randn({2, 90, 5, 8}), gradient = torch::randn({80, 7}), indices = some_positions(7, 90, 0.5), got = torch::zeros({indices.numel()});
  sampled_linear_add_({{got, {indices, row_starts_of(indices, 7, 90)}, TokenOperand(gradient)}}, TokenOperand::of_map(map));
  EXPECT_TRUE(got.equal(sampled(indices, gradient, map.flatten(2).transpose(1, 2).reshape({-1, 90}))));
}

TEST(SampledLinear, SeveralLayersOfOneInputGetWhatEachGetsAloneAndTheSumsOfTheirGradients) {
  for (const auto dtype : {torch::kFloat, torch::kBFloat16})
    for (const auto& [in, density] : {std::pair{40, 0.1}, {900, 0.1}, {40, 0.01}, {900, 0.001}}) {  // rows are shared out, or columns; lines without entries
      const torch::Tensor input = torch::randn({700, in}).to(dtype);
      std::vector<torch::Tensor> gradients, alone;
      std::vector<TokenOperand> operands;
      std::vector<SampledLinear> layers;
      for (const int64_t out : {30, 130, 7}) {
        gradients.push_back(torch::randn({700, out}).to(dtype));
        operands.emplace_back(gradients.back());
      }
      for (size_t i = 0; i < gradients.size(); ++i) {
        const int64_t out = gradients[i].size(1);
        const torch::Tensor indices = some_positions(out, in, density);
        alone.push_back(sampled(indices, gradients[i], input));
        layers.push_back({torch::zeros({indices.numel()}), {indices, row_starts_of(indices, out, in)}, operands[i], i == 1 ? torch::Tensor() : torch::ones({out})});
      }
      sampled_linear_add_(layers, TokenOperand(input));
      for (size_t i = 0; i < layers.size(); ++i) {
        EXPECT_TRUE(layers[i].out.allclose(alone[i], 1e-5, 1e-4));  // the same products; of columns that are shared out otherwise
        if (layers[i].gradient_sums.defined()) {
          EXPECT_TRUE((layers[i].gradient_sums - 1).to(torch::kDouble).allclose(gradients[i].to(torch::kDouble).sum(0), 1e-5, 1e-4));
        }
      }
    }
}

TEST(SampledLinear, OfNoTokensAddsNothing) {
  const torch::Tensor indices = some_positions(40, 30, 0.5);
  EXPECT_EQ(sampled(indices, torch::zeros({0, 40}), torch::zeros({0, 30})).abs().max().item<float>(), 0);
}

TEST(SampledLinear, GivesTheSameBitsAtAnyThreadCount) {
  const int before = at::get_num_threads();
  for (const auto& [out, in] : {std::pair{50, 700}, {700, 50}, {3, 2}, {1, 3}})  // threads share out the columns, or the rows
    for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
      const torch::Tensor gradient = torch::randn({600, out}).to(dtype), input = torch::randn({600, in}).to(dtype), indices = some_positions(out, in, 0.4);
      const auto both = [&] {
        const torch::Tensor products = torch::zeros({indices.numel()}), sums = torch::zeros({out});
        sampled_linear_add_({{products, {indices, row_starts_of(indices, out, in)}, TokenOperand(gradient), sums}}, TokenOperand(input));
        return torch::cat({products, sums});
      };
      at::set_num_threads(1);
      const torch::Tensor one = both();
      for (const int threads : {2, 5}) {
        at::set_num_threads(threads);
        EXPECT_TRUE(one.equal(both())) << out << "x" << in << ", " << threads << " threads";
      }
    }
  at::set_num_threads(before);
}

}  // namespace
}  // namespace sara
