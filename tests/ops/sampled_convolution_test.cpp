// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/sampled_convolution.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

#include "sara/ops/processor.h"
#include "sara/ops/sampled_dots.h"
#include "sara/ops/sampled_tiles.h"
#include "sara/ops/sampled_windows.h"

namespace sara {
namespace {

struct ConvolutionCase {
  int64_t batch, in, out, height, width;  // of the input
  ConvolutionShape shape;
  double density;
};

struct SampledConvolution : testing::TestWithParam<ConvolutionCase> {
  torch::Tensor input, gradient, expected, indices, starts;

  void make(at::ScalarType dtype) {
    const auto [batch, in, out, height, width, shape, density] = GetParam();
    input = torch::randn({batch, in, height, width}).to(dtype);
    const torch::Tensor weight = torch::zeros({out, in, shape.kernel, shape.kernel}, torch::kDouble).requires_grad_();
    const torch::Tensor result = torch::conv2d(input.to(torch::kDouble), weight, {}, shape.stride, shape.padding);
    gradient = torch::randn(result.sizes()).to(dtype);
    result.backward(gradient.to(torch::kDouble));
    const int64_t columns = weight.numel() / out;
    indices = torch::rand({weight.numel()}).lt(density).nonzero().view(-1).to(torch::kInt);
    starts = torch::searchsorted(indices.to(torch::kLong), torch::arange(0, out + 1) * columns);
    expected = weight.grad().view(-1).index_select(0, indices.to(torch::kLong));
  }

  torch::Tensor sampled() const {
    const torch::Tensor sums = torch::zeros({indices.numel()});
    EXPECT_TRUE(sampled_convolution_add_(sums, {indices, starts}, gradient, input, GetParam().shape));
    return sums;
  }
};

TEST_P(SampledConvolution, EqualsTheSelectedEntriesOfTheDenseWeightGradient) {
  for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
    make(dtype);
    EXPECT_LE((sampled() - expected).abs().max().item<double>(), 2e-5 * std::sqrt(double(gradient.numel() / gradient.size(1)))) << dtype;
  }
}

TEST_P(SampledConvolution, AddsToWhatIsThere) {
  for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
    make(dtype);
    const torch::Tensor sums = torch::full({indices.numel()}, 100.f);
    EXPECT_TRUE(sampled_convolution_add_(sums, {indices, starts}, gradient, input, GetParam().shape));
    EXPECT_TRUE((sums - 100).allclose(sampled(), 0, 2e-4)) << dtype;
  }
}

// A number that is not one, and what memory held before, reach the entries that they meet and no others.
TEST_P(SampledConvolution, KeepsNaNWithItsRowAndChannel) {
  for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
    make(dtype);
    const torch::Tensor out = gradient.size(1) - 1 == indices.div(input.size(1) * GetParam().shape.kernel * GetParam().shape.kernel, "floor");
    gradient.select(1, gradient.size(1) - 1).fill_(NAN);
    std::vector<torch::Tensor> stale;
    for (int64_t numbers = 1 << 14; numbers <= 1 << 20; numbers *= 2) stale.push_back(torch::full({numbers}, NAN));
    stale.clear();
    EXPECT_TRUE(sampled().isnan().equal(out)) << dtype;
  }
}

TEST_P(SampledConvolution, AddsTheGradientsSumsOverPositionsWhereTheyAreWanted) {
  for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
    make(dtype);
    const torch::Tensor out = torch::zeros({indices.numel()}), sums = torch::ones({gradient.size(0), gradient.size(1)});
    EXPECT_TRUE(sampled_convolution_add_(out, {indices, starts}, gradient, input, GetParam().shape, sums));
    EXPECT_TRUE(out.equal(sampled())) << dtype;
    EXPECT_TRUE((sums - 1).to(torch::kDouble).allclose(gradient.to(torch::kDouble).sum({2, 3}), 1e-5, 1e-4)) << dtype;
  }
}

TEST_P(SampledConvolution, GivesTheSameBitsAtAnyThreadCount) {
  const int before = at::get_num_threads();
  for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
    make(dtype);
    const auto both = [&](int threads) {
      at::set_num_threads(threads);
      const torch::Tensor out = torch::zeros({indices.numel()}), sums = torch::zeros({gradient.size(0), gradient.size(1)});
      EXPECT_TRUE(sampled_convolution_add_(out, {indices, starts}, gradient, input, GetParam().shape, sums));
      return torch::cat({out, sums.flatten()});
    };
    const torch::Tensor one = both(1);
    for (const int threads : {2, 3, 9}) EXPECT_TRUE(one.equal(both(threads))) << dtype << threads;  // nine: four parts of the columns, two of the rows
  }
  at::set_num_threads(before);
}

INSTANTIATE_TEST_SUITE_P(Windows, SampledConvolution,
                         testing::Values(ConvolutionCase{2, 5, 7, 32, 32, {3, 1, 1}, 0.4}, ConvolutionCase{1, 70, 9, 16, 16, {3, 1, 1}, 0.1}, ConvolutionCase{3, 4, 6, 64, 64, {3, 2, 1}, 0.4},
                                         ConvolutionCase{1, 3, 4, 96, 40, {3, 1, 1}, 0.4}, ConvolutionCase{2, 33, 5, 32, 24, {1, 1, 0}, 0.4}, ConvolutionCase{1, 2, 3, 20, 64, {5, 1, 2}, 0.5},
                                         ConvolutionCase{2, 600, 3, 16, 32, {3, 1, 1}, 0.02}, ConvolutionCase{1, 2, 3, 6, 160, {3, 1, 1}, 0.4}));
INSTANTIATE_TEST_SUITE_P(Pictures, SampledConvolution,
                         testing::Values(ConvolutionCase{1, 3, 4, 4, 4, {3, 1, 1}, 0.4}, ConvolutionCase{2, 5, 7, 8, 6, {3, 1, 1}, 0.4}, ConvolutionCase{3, 4, 6, 8, 8, {3, 2, 1}, 0.4},
                                         ConvolutionCase{2, 4, 3, 7, 9, {3, 2, 1}, 0.4}, ConvolutionCase{2, 9, 5, 5, 5, {1, 1, 0}, 0.4}, ConvolutionCase{1, 2, 3, 9, 9, {5, 1, 2}, 0.5},
                                         ConvolutionCase{2, 3, 4, 5, 1, {5, 1, 2}, 0.5}, ConvolutionCase{2, 3, 4, 1, 2, {5, 1, 2}, 0.5}, ConvolutionCase{19, 6, 20, 8, 8, {3, 1, 1}, 0.3},
                                         ConvolutionCase{70, 3, 4, 4, 4, {3, 1, 1}, 0.4}, ConvolutionCase{1, 4, 3, 75, 77, {3, 1, 1}, 0.3}, ConvolutionCase{4, 700, 3, 8, 8, {3, 1, 1}, 0.02}));

// Dense enough for tiles where the processor has them: whole blocks of 32 rows and channels, and parts of them.
INSTANTIATE_TEST_SUITE_P(Tiles, SampledConvolution,
                         testing::Values(ConvolutionCase{2, 64, 64, 32, 32, {3, 1, 1}, 0.2}, ConvolutionCase{1, 70, 41, 16, 16, {3, 1, 1}, 0.06}, ConvolutionCase{1, 70, 41, 32, 32, {3, 1, 1}, 0.1}, ConvolutionCase{2, 33, 50, 64, 64, {3, 2, 1}, 0.3},
                                         ConvolutionCase{3, 48, 33, 32, 24, {1, 1, 0}, 1.0}, ConvolutionCase{5, 96, 64, 8, 8, {3, 1, 1}, 0.1}, ConvolutionCase{9, 40, 40, 4, 4, {3, 1, 1}, 0.5},
                                         ConvolutionCase{1, 32, 32, 20, 64, {5, 1, 2}, 0.2}, ConvolutionCase{2, 600, 32, 16, 32, {3, 1, 1}, 0.06}, ConvolutionCase{2, 40, 40, 9, 9, {3, 1, 1}, 0.3}));

TEST(SampledConvolution, RowsWithoutEntriesStandBesideFullOnes) {
  const torch::Tensor mask = torch::zeros({70, 64 * 9}, torch::kBool);
  for (const int64_t row : {1, 33, 34, 69}) mask[row].fill_(true);
  for (const int64_t channel : {0, 31, 32, 63}) mask[50].narrow(0, channel * 9, 9).fill_(true);
  const torch::Tensor indices = mask.view(-1).nonzero().view(-1).to(torch::kInt), starts = torch::searchsorted(indices.to(torch::kLong), torch::arange(0, 71) * 64 * 9);
  const torch::Tensor input = torch::randn({2, 64, 16, 16}).to(torch::kBFloat16), gradient = torch::randn({2, 70, 16, 16}).to(torch::kBFloat16);
  const torch::Tensor weight = torch::zeros({70, 64, 3, 3}, torch::kDouble).requires_grad_();
  torch::conv2d(input.to(torch::kDouble), weight, {}, 1, 1).backward(gradient.to(torch::kDouble));
  const int before = at::get_num_threads();
  for (const int threads : {1, 9}) {
    at::set_num_threads(threads);
    const torch::Tensor sums = torch::zeros({indices.numel()}), totals = torch::zeros({2, 70});
    EXPECT_TRUE(sampled_convolution_add_(sums, {indices, starts}, gradient, input, {3, 1, 1}, totals));
    EXPECT_LT((totals - gradient.to(torch::kDouble).sum({2, 3})).abs().max().item<double>(), 1e-4) << threads;
    EXPECT_LT((sums - weight.grad().view(-1).index_select(0, indices.to(torch::kLong))).abs().max().item<double>(), 1e-3) << threads;
  }
  at::set_num_threads(before);
}

TEST(SampledConvolution, TilesAreForDensePairsOfNeighboursInBlocks) {
  const auto pay = [](at::ScalarType dtype, int64_t entries, int64_t rows, int64_t channels, int64_t width, int64_t kernel = 3) { return tiles_pay(dtype, entries, rows, channels, {kernel, 1, kernel / 2}, 8, width); };
  EXPECT_EQ(pay(torch::kBFloat16, 1000, 32, 32, 8), has_tiles());
  EXPECT_FALSE(tiles_pay(torch::kBFloat16, 600, 32, 32, {3, 1, 1}, 32, 32));
  EXPECT_EQ(tiles_pay(torch::kBFloat16, 800, 32, 32, {3, 1, 1}, 32, 32), has_tiles());
  EXPECT_FALSE(pay(torch::kFloat, 1000, 32, 32, 8));
  EXPECT_FALSE(pay(torch::kBFloat16, 1000, 32, 32, 9));
  EXPECT_FALSE(pay(torch::kBFloat16, 1000, 31, 32, 8));
  EXPECT_FALSE(pay(torch::kBFloat16, 400, 32, 32, 8));
  EXPECT_FALSE(pay(torch::kBFloat16, 100, 32, 32, 8, 1));
  EXPECT_EQ(pay(torch::kBFloat16, 200, 32, 32, 8, 1), has_tiles());
}

TEST(SampledConvolution, WindowsAreCutOutOfLargePicturesWithRowsOfWholeRegisters) {
  EXPECT_FALSE(windows_pay(torch::kFloat, 8, 8, {3, 1, 1}));
  EXPECT_FALSE(windows_pay(torch::kFloat, 75, 77, {3, 1, 1}));
  EXPECT_TRUE(windows_pay(torch::kBFloat16, 16, 16, {3, 1, 1}));
}

TEST(SampledConvolution, KernelsWithoutTheirPaddingAreLeftToTheDenseProduct) {
  const torch::Tensor sums = torch::zeros({1});
  EXPECT_FALSE(sampled_convolution_add_(sums, {torch::zeros({1}, torch::kInt), torch::tensor({0, 1, 1})}, torch::ones({1, 2, 6, 6}), torch::ones({1, 2, 8, 8}), {3, 1, 0}));
  EXPECT_EQ(sums.item<float>(), 0);
}

TEST(SampledConvolution, OfNoPicturesAddsNothing) {
  const torch::Tensor sums = torch::zeros({1});
  EXPECT_TRUE(sampled_convolution_add_(sums, {torch::zeros({1}, torch::kInt), torch::tensor({0, 1, 1})}, torch::ones({0, 2, 8, 8}), torch::ones({0, 2, 8, 8}), {3, 1, 1}));
  EXPECT_EQ(sums.item<float>(), 0);
  const torch::Tensor all = torch::zeros({32 * 32}), none = torch::ones({0, 32, 8, 8}, torch::kBFloat16);
  EXPECT_TRUE(sampled_convolution_add_(all, {torch::arange(32 * 32, torch::kInt), torch::arange(33) * 32}, none, none, {1, 1, 0}));
  EXPECT_EQ(all.abs().max().item<float>(), 0);
}

}  // namespace
}  // namespace sara
