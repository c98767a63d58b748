// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/sampled_matmul.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "sara/ops/sampled_dots.h"
#include "sara/ops/sampled_convolution.h"
#include "sara/ops/sampled_linear.h"

namespace sara {
namespace {

torch::Tensor some_positions(int64_t rows, int64_t columns, double density) {
  return torch::rand({rows * columns}).lt(density).nonzero().view(-1).to(torch::kInt);
}

torch::Tensor row_starts_of(const torch::Tensor& indices, int64_t rows, int64_t columns) {
  return torch::searchsorted(indices.to(torch::kLong), torch::arange(0, rows + 1) * columns);
}

torch::Tensor sampled(const torch::Tensor& indices, int64_t rows, int64_t columns, const SampledFactors& factors) {
  const torch::Tensor out = torch::zeros({indices.numel()});
  sampled_matmul_add_(out, indices, row_starts_of(indices, rows, columns), factors);
  return out;
}

torch::Tensor sampled(const torch::Tensor& indices, const torch::Tensor& gradient, const torch::Tensor& input) {
  const torch::Tensor out = torch::zeros({indices.numel()});
  sampled_linear_add_(out, indices, row_starts_of(indices, gradient.size(1), input.size(1)), TokenOperand(gradient), TokenOperand(input));
  return out;
}

TEST(SampledMatmul, OfTwoTokensIsTheSumOfTwoProducts) {
  const torch::Tensor gradient = torch::tensor({{1.f, 2.f}, {3.f, 4.f}}), input = torch::tensor({{5.f, 6.f, 7.f}, {8.f, 9.f, 10.f}});
  const torch::Tensor indices = torch::tensor({1, 3, 5}, torch::kInt);  // (0, 1), (1, 0), (1, 2)
  const torch::Tensor out = sampled(indices, gradient, input);
  EXPECT_TRUE(out.equal(torch::tensor({1.f * 6 + 3 * 9, 2.f * 5 + 4 * 8, 2.f * 7 + 4 * 10}))) << out;
}

struct LinearShape {
  int64_t tokens, out, in;
  double density;
};

struct SampledLinear : testing::TestWithParam<LinearShape> {};

TEST_P(SampledLinear, EqualsTheSelectedEntriesOfTheDenseProduct) {
  const auto [tokens, out, in, density] = GetParam();
  for (const auto dtype : {torch::kFloat, torch::kBFloat16, torch::kHalf}) {
    const torch::Tensor gradient = torch::randn({tokens, out}).to(dtype), input = torch::randn({tokens, in}).to(dtype);
    const torch::Tensor indices = some_positions(out, in, density);
    const torch::Tensor got = sampled(indices, gradient, input);
    const torch::Tensor expected = gradient.to(torch::kDouble).t().mm(input.to(torch::kDouble)).view(-1).index_select(0, indices.to(torch::kLong));
    EXPECT_LE((got - expected).abs().max().item<double>(), 2e-5 * std::sqrt(double(tokens)) + 1e-6);
  }
}
INSTANTIATE_TEST_SUITE_P(Shapes, SampledLinear, testing::Values(LinearShape{1, 3, 5, 0.9}, LinearShape{77, 40, 70, 0.3}, LinearShape{300, 33, 1000, 0.05}, LinearShape{1100, 65, 16, 1.1}));

struct ConvolutionCase {
  int64_t batch, in, out, height, width;
  ConvolutionShape shape;
};

struct SampledConvolution : testing::TestWithParam<ConvolutionCase> {};

TEST_P(SampledConvolution, EqualsTheSelectedEntriesOfTheDenseWeightGradient) {
  const auto [batch, in, out, height, width, shape] = GetParam();
  for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
    const torch::Tensor input = torch::randn({batch, in, height, width}).to(dtype);
    const torch::Tensor weight = torch::zeros({out, in, shape.kernel, shape.kernel}, torch::kDouble).requires_grad_();
    const torch::Tensor result = torch::conv2d(input.to(torch::kDouble), weight, {}, shape.stride, shape.padding);
    const torch::Tensor gradient = torch::randn(result.sizes()).to(dtype);
    result.backward(gradient.to(torch::kDouble));
    const int64_t columns = in * shape.kernel * shape.kernel;
    const torch::Tensor indices = some_positions(out, columns, 0.4);
    const auto factors = convolution_factors(gradient, input, shape);
    ASSERT_TRUE(factors);
    const torch::Tensor got = sampled(indices, out, columns, *factors), expected = weight.grad().view(-1).index_select(0, indices.to(torch::kLong));
    EXPECT_LE((got - expected).abs().max().item<double>(), 1e-4);
  }
}
INSTANTIATE_TEST_SUITE_P(Shapes, SampledConvolution,
                         testing::Values(ConvolutionCase{1, 3, 4, 4, 4, {3, 1, 1}}, ConvolutionCase{2, 5, 7, 8, 6, {3, 1, 1}}, ConvolutionCase{3, 4, 6, 8, 8, {3, 2, 1}},
                                         ConvolutionCase{2, 4, 3, 7, 9, {3, 2, 1}}, ConvolutionCase{2, 9, 5, 5, 5, {1, 1, 0}}, ConvolutionCase{1, 2, 3, 9, 9, {5, 1, 2}}, ConvolutionCase{2, 3, 4, 5, 1, {5, 1, 2}}, ConvolutionCase{2, 3, 4, 1, 2, {5, 1, 2}}));

TEST(SampledMatmul, AFeatureMapIsReadAsItsTokens) {
  const torch::Tensor map = torch::randn({3, 20, 9, 30}), input = torch::randn({3 * 270, 17}), indices = some_positions(20, 17, 0.5);
  const torch::Tensor tokens = map.flatten(2).transpose(1, 2).reshape({-1, 20}), got = torch::zeros({indices.numel()});
  sampled_linear_add_(got, indices, row_starts_of(indices, 20, 17), TokenOperand::of_map(map), TokenOperand(input));
  EXPECT_TRUE(got.equal(sampled(indices, tokens, input)));
}

TEST(SampledMatmul, AFeatureMapMayBeTheInputToo) {
  const torch::Tensor map = torch::randn({2, 90, 5, 8}), gradient = torch::randn({80, 7}), indices = some_positions(7, 90, 0.5), got = torch::zeros({indices.numel()});
  sampled_linear_add_(got, indices, row_starts_of(indices, 7, 90), TokenOperand(gradient), TokenOperand::of_map(map));
  EXPECT_TRUE(got.equal(sampled(indices, gradient, map.flatten(2).transpose(1, 2).reshape({-1, 90}))));
}

TEST(SampledMatmul, OfNoTokensAddsNothing) {
  const torch::Tensor indices = some_positions(40, 30, 0.5);
  EXPECT_EQ(sampled(indices, torch::zeros({0, 40}), torch::zeros({0, 30})).abs().max().item<float>(), 0);
}

TEST(SampledMatmul, KernelsWithoutTheirPaddingAreLeftToTheDenseProduct) {
  EXPECT_FALSE(convolution_factors(torch::zeros({1, 2, 6, 6}), torch::zeros({1, 2, 8, 8}), {3, 1, 0}));
}

TEST(SampledMatmul, GivesTheSameBitsAtAnyThreadCount) {
  const int before = at::get_num_threads();
  for (const auto& [out, in] : {std::pair{50, 700}, {700, 50}, {3, 2}, {1, 3}})  // threads share out the columns, or the rows
    for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
      const torch::Tensor gradient = torch::randn({600, out}).to(dtype), input = torch::randn({600, in}).to(dtype), indices = some_positions(out, in, 0.4);
      at::set_num_threads(1);
      const torch::Tensor one = sampled(indices, gradient, input);
      for (const int threads : {2, 5}) {
        at::set_num_threads(threads);
        EXPECT_TRUE(one.equal(sampled(indices, gradient, input))) << out << "x" << in << ", " << threads << " threads";
      }
    }
  at::set_num_threads(before);
}

TEST(SampledMatmul, EveryVariantAgreesWithTheSpecification) {
  const torch::Tensor row = torch::randn({kDotsLength<float>}), columns = torch::randn({40, kDotsLength<float>});
  std::vector<int64_t> starts;
  for (int64_t c = 0; c < 40; ++c) starts.push_back(c * kDotsLength<float>);
  const torch::Tensor indices = torch::arange(7, 7 + 33, torch::kInt);
  for (int64_t length = kSampledLanes; length <= kDotsLength<float>; length += kSampledLanes) {
    const torch::Tensor expected = torch::ones({33}), got = torch::ones({33});
    sampled_dots_portable(expected.data_ptr<float>(), row.data_ptr<float>(), columns.data_ptr<float>(), starts.data(), indices.data_ptr<int32_t>(), 7, 33, length);
    sampled_dots_f32()(got.data_ptr<float>(), row.data_ptr<float>(), columns.data_ptr<float>(), starts.data(), indices.data_ptr<int32_t>(), 7, 33, length);
    EXPECT_TRUE(got.allclose(expected, 1e-5, 1e-5)) << length;
  }
}

}  // namespace
}  // namespace sara
