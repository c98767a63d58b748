// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/sampled_windows.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>

namespace sara {
namespace {

struct WindowCase {
  int64_t batch, in, out, height, width;  // of the input
  ConvolutionShape shape;
  double density;
};

struct SampledWindows : testing::TestWithParam<WindowCase> {
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
    sampled_windows_add_(sums, indices, starts, gradient.to(sampled_dtype(gradient.scalar_type())), input.to(sampled_dtype(input.scalar_type())), GetParam().shape);
    return sums;
  }
};

TEST_P(SampledWindows, EqualsTheSelectedEntriesOfTheDenseWeightGradient) {
  for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
    make(dtype);
    ASSERT_TRUE(windows_pay(sampled_dtype(dtype), gradient.size(2), gradient.size(3), GetParam().shape));
    EXPECT_LE((sampled() - expected).abs().max().item<double>(), 2e-5 * std::sqrt(double(gradient.numel() / gradient.size(1)))) << dtype;
  }
}

TEST_P(SampledWindows, AddsToWhatIsThere) {
  make(torch::kFloat);
  const torch::Tensor sums = torch::full({indices.numel()}, 100.f);
  sampled_windows_add_(sums, indices, starts, gradient, input, GetParam().shape);
  EXPECT_TRUE((sums - 100).allclose(sampled(), 0, 1e-4));
}

TEST_P(SampledWindows, GivesTheSameBitsAtAnyThreadCount) {
  const int before = at::get_num_threads();
  make(torch::kFloat);
  at::set_num_threads(1);
  const torch::Tensor one = sampled();
  for (const int threads : {2, 3, 9}) {  // nine: four parts of the columns, two of the rows
    at::set_num_threads(threads);
    EXPECT_TRUE(one.equal(sampled())) << threads;
  }
  at::set_num_threads(before);
}

INSTANTIATE_TEST_SUITE_P(Shapes, SampledWindows,
                         testing::Values(WindowCase{2, 5, 7, 32, 32, {3, 1, 1}, 0.4}, WindowCase{1, 70, 9, 16, 16, {3, 1, 1}, 0.1}, WindowCase{3, 4, 6, 64, 64, {3, 2, 1}, 0.4},
                                         WindowCase{1, 3, 4, 96, 40, {3, 1, 1}, 0.4}, WindowCase{2, 33, 5, 32, 24, {1, 1, 0}, 0.4}, WindowCase{1, 2, 3, 20, 64, {5, 1, 2}, 0.5},
                                         WindowCase{2, 600, 3, 16, 32, {3, 1, 1}, 0.02}, WindowCase{1, 2, 3, 6, 160, {3, 1, 1}, 0.4}));

TEST(SampledWindows, SmallOrOddPicturesAreLeftToWholeLines) {
  EXPECT_FALSE(windows_pay(torch::kFloat, 8, 8, {3, 1, 1}));
  EXPECT_FALSE(windows_pay(torch::kFloat, 31, 33, {3, 1, 1}));
  EXPECT_TRUE(windows_pay(torch::kBFloat16, 16, 16, {3, 1, 1}));
}

}  // namespace
}  // namespace sara
