// SPDX-License-Identifier: Apache-2.0
// Winograd's convolution against the direct sum in fp64.
#include "sara/ops/winograd.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/convolution_backward.h>
#include <gtest/gtest.h>

#include "sara/ops/processor.h"

namespace sara {
namespace {

struct WinogradCase {
  int64_t pictures, in, out, height, width;
  friend void PrintTo(const WinogradCase& c, std::ostream* to) { *to << c.pictures << " x " << c.in << " -> " << c.out << ", " << c.height << " x " << c.width; }
};

torch::Tensor exact(const torch::Tensor& x) { return x.defined() ? x.to(torch::kDouble) : x; }
double winograd_error(const torch::Tensor& got, const torch::Tensor& expected) { return (exact(got) - expected).norm().item<double>() / expected.norm().item<double>(); }

torch::Tensor direct_gradient(const torch::Tensor& gradient, const torch::Tensor& weight) {
  const torch::Tensor input = torch::empty({gradient.size(0), weight.size(1), gradient.size(2), gradient.size(3)}, torch::kDouble);
  return std::get<0>(at::convolution_backward(exact(gradient), input, exact(weight), c10::nullopt, {1, 1}, {1, 1}, {1, 1}, false, {0, 0}, 1, {true, false, false}));
}

class Winograd : public testing::TestWithParam<std::tuple<WinogradCase, torch::Dtype>> {};

TEST_P(Winograd, IsTheDirectSumBothWays) {
  const auto& [c, dtype] = GetParam();
  if (!(dtype == torch::kFloat ? has_avx512() : has_avx512_bf16())) GTEST_SKIP() << "no such registers here";
  torch::manual_seed(5);
  const double tolerance = dtype == torch::kFloat ? 2e-6 : 2e-3;  // of bf16 the result is rounded, once
  const torch::Tensor x = torch::randn({c.pictures, c.in, c.height, c.width}).to(dtype), weight = (torch::randn({c.out, c.in, 3, 3}) * 0.05).to(dtype);
  const torch::Tensor gradient = torch::randn({c.pictures, c.out, c.height, c.width}).to(dtype);
  for (const torch::Tensor& bias : {torch::Tensor(), torch::randn({c.out}).to(dtype)}) {
    const torch::Tensor result = winograd_convolution(x, weight, bias);
    EXPECT_EQ(result.scalar_type(), dtype);
    EXPECT_LT(winograd_error(result, at::conv2d(exact(x), exact(weight), exact(bias), {1, 1}, {1, 1})), tolerance);
  }
  EXPECT_LT(winograd_error(winograd_input_gradient(gradient, weight), direct_gradient(gradient, weight)), tolerance);
}

INSTANTIATE_TEST_SUITE_P(Sizes, Winograd,
                         testing::Combine(testing::Values(WinogradCase{4, 32, 32, 8, 8},       // two panels
                                                          WinogradCase{1, 320, 64, 16, 16},    // a picture of whole panels
                                                          WinogradCase{3, 45, 33, 6, 10},      // channels and tiles that fill no register; a panel and a half
                                                          WinogradCase{2, 34, 300, 2, 40},     // parts of 112 and fewer channels; one row of tiles
                                                          WinogradCase{2, 1300, 40, 4, 4},     // a part limited by its kernels' bytes
                                                          WinogradCase{3, 96, 40, 64, 64},     // two pictures, then one
                                           WinogradCase{1, 320, 20, 46, 128},   // bands of 24 and 22 rows
                                                          WinogradCase{1, 3, 5, 2, 2}),        // one tile
                                          testing::Values(torch::kFloat, torch::kBFloat16)));

// A constant plane and a kernel of ones: inside 9, at an edge 6, in a corner 4 a channel, to the last bit.
TEST(Winograd, SeesZerosAroundThePlane) {
  if (!has_avx512()) GTEST_SKIP() << "no such registers here";
  const torch::Tensor result = winograd_convolution(torch::ones({1, 2, 8, 12}), torch::ones({1, 2, 3, 3}), {});
  EXPECT_EQ(result[0][0][3][5].item<float>(), 18);
  EXPECT_EQ(result[0][0][0][5].item<float>(), 12);
  EXPECT_EQ(result[0][0][3][11].item<float>(), 12);
  EXPECT_EQ(result[0][0][7][0].item<float>(), 8);
}

TEST(Winograd, TakesWhatItsTilesFit) {
  const torch::Tensor weight = torch::zeros({64, 64, 3, 3});
  EXPECT_EQ(winograd_pays(weight, 4, 16, 16), has_avx512());
  EXPECT_EQ(winograd_pays(weight.to(torch::kBFloat16), 4, 16, 16), has_avx512_bf16() && has_slow_bf16());
  EXPECT_FALSE(winograd_pays(weight, 4, 15, 16)) << "half a tile";
  EXPECT_FALSE(winograd_pays(weight, 1, 8, 8)) << "few tiles";
  EXPECT_FALSE(winograd_pays(torch::zeros({64, 4, 3, 3}), 4, 16, 16)) << "few channels";
  EXPECT_FALSE(winograd_pays(torch::zeros({64, 64, 1, 1}), 4, 16, 16));
  EXPECT_FALSE(winograd_pays(weight.to(torch::kHalf), 4, 16, 16));
}

}  // namespace
}  // namespace sara
