// SPDX-License-Identifier: Apache-2.0
// Convolutions against the direct sum in fp64.
#include "sara/ops/convolution.h"

#include <ATen/ops/conv2d.h>
#include <ATen/ops/convolution_backward.h>
#include <gtest/gtest.h>

namespace sara {
namespace {

torch::Tensor wide(const torch::Tensor& x) { return x.to(torch::kDouble); }
double distance(const torch::Tensor& got, const torch::Tensor& expected) { return (wide(got) - expected).norm().item<double>() / expected.norm().item<double>(); }

// Stride, size and type decide which of several ways is taken.
TEST(Convolution, IsTheDirectSumWhicheverWayItGoes) {
  torch::manual_seed(7);
  for (const auto& [dtype, tolerance] : {std::pair{torch::kFloat, 2e-6}, {torch::kBFloat16, 5e-3}})
    for (const ConvolutionShape& shape : {ConvolutionShape{3, 1, 1}, ConvolutionShape{3, 2, 1}, ConvolutionShape{1, 1, 0}})
      for (const int64_t side : {4, 8, 17, 32, 66}) {
        SCOPED_TRACE(testing::Message() << dtype << ", kernel " << shape.kernel << ", stride " << shape.stride << ", side " << side);
        const std::vector<int64_t> stride{shape.stride, shape.stride}, padding{shape.padding, shape.padding};
        const torch::Tensor x = torch::randn({2, 48, side, side}).to(dtype), weight = (torch::randn({64, 48, shape.kernel, shape.kernel}) * 0.05).to(dtype), bias = torch::randn({64}).to(dtype);
        const torch::Tensor result = convolution(x, weight, bias, shape);
        const torch::Tensor exact = at::conv2d(wide(x), wide(weight), wide(bias), stride, padding);
        EXPECT_LT(distance(result, exact), tolerance);
        EXPECT_LT(distance(convolution(x.contiguous(at::MemoryFormat::ChannelsLast), weight, bias, shape), exact), tolerance);
        const torch::Tensor gradient = torch::randn(result.sizes()).to(dtype);
        const torch::Tensor expected =
            std::get<0>(at::convolution_backward(wide(gradient), wide(x), wide(weight), c10::nullopt, stride, padding, {1, 1}, false, {0, 0}, 1, {true, false, false}));
        EXPECT_LT(distance(convolution_input_gradient(gradient, weight, x.sizes(), shape), expected), tolerance);
      }
}

TEST(Convolution, OfChannelsThatDoNotMeetIsTorchsError) {
  for (const auto dtype : {torch::kFloat, torch::kBFloat16})
    for (const int64_t kernel : {1, 3})
      for (const int64_t channels : {32, 128}) {
        const ConvolutionShape shape{kernel, 1, kernel / 2};
        const torch::Tensor weight = torch::zeros({64, 64, kernel, kernel}).to(dtype), x = torch::zeros({1, channels, 16, 16}).to(dtype);
        EXPECT_THROW(convolution(x, weight, {}, shape), c10::Error) << dtype << " " << kernel << " " << channels;
        EXPECT_ANY_THROW(convolution_input_gradient(x, weight, {1, 64, 16, 16}, shape)) << dtype << " " << kernel << " " << channels;
      }
}

TEST(Convolution, OfNoPicturesIsNone) {
  for (const auto dtype : {torch::kFloat, torch::kBFloat16})
    for (const int64_t kernel : {1, 3}) {
      const torch::Tensor result = convolution(torch::zeros({0, 48, 16, 16}).to(dtype), torch::zeros({64, 48, kernel, kernel}).to(dtype), {}, {kernel, 1, kernel / 2});
      EXPECT_EQ(result.sizes(), (std::vector<int64_t>{0, 64, 16, 16}));
    }
}

}  // namespace
}  // namespace sara
