// SPDX-License-Identifier: Apache-2.0
// The products of linear layers against fp64.
#include "sara/ops/matrix_product.h"

#include <ATen/ops/linear.h>
#include <ATen/ops/matmul.h>
#include <gtest/gtest.h>

#include "sara/ops/bf16_matmul.h"
#include "sara/ops/processor.h"

namespace sara {
namespace {

torch::Tensor in_double(const torch::Tensor& x) { return x.defined() ? x.to(torch::kDouble) : x; }
double error_of(const torch::Tensor& got, const torch::Tensor& expected) { return (in_double(got) - expected).norm().item<double>() / expected.norm().item<double>(); }

struct ProductSizes {
  int64_t tokens, depth, columns;
};

const auto kProductSizes = {ProductSizes{1, 7, 5}, {30, 320, 320}, {33, 15, 47}, {1100, 40, 72}, {64, 1300, 300}, {257, 513, 33}};

TEST(MatrixProduct, IsTheProductInEveryType) {
  torch::manual_seed(6);
  for (const auto& [dtype, tolerance] : {std::pair{torch::kFloat, 2e-6}, {torch::kBFloat16, 3e-3}, {torch::kHalf, 1e-3}})
    for (const auto& sizes : kProductSizes) {
      const torch::Tensor x = torch::randn({sizes.tokens, sizes.depth}).to(dtype), weight = (torch::randn({sizes.columns, sizes.depth}) * 0.1).to(dtype);
      const torch::Tensor gradient = torch::randn({sizes.tokens, sizes.columns}).to(dtype);
      for (const torch::Tensor& bias : {torch::Tensor(), torch::randn({sizes.columns}).to(dtype)})
        EXPECT_LT(error_of(product_with_transposed(x, weight, bias), at::linear(in_double(x), in_double(weight), in_double(bias))), tolerance) << sizes.tokens;
      EXPECT_LT(error_of(product_with(gradient, weight), at::matmul(in_double(gradient), in_double(weight))), tolerance) << sizes.tokens;
    }
}

TEST(MatrixProduct, TakesTokensThatDoNotLieTogether) {
  for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
    const torch::Tensor turned = torch::randn({2, 64, 50}).to(dtype).transpose(1, 2), weight = torch::randn({96, 64}).to(dtype);
    const torch::Tensor got = product_with_transposed(turned, weight);
    EXPECT_EQ(got.sizes(), (std::vector<int64_t>{2, 50, 96}));
    EXPECT_LT(error_of(got, at::linear(in_double(turned), in_double(weight))), 3e-3);
  }
}

TEST(MatrixProduct, OfSizesThatDoNotMeetIsTorchsError) {
  for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
    const torch::Tensor x = torch::zeros({64, 1024}).to(dtype), weight = torch::zeros({320, 768}).to(dtype);
    EXPECT_THROW(product_with_transposed(x, weight), c10::Error);
    EXPECT_THROW(product_with(x, weight), c10::Error);
  }
}

TEST(MatrixProduct, OfNothingIsNothingOrZero) {
  for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
    EXPECT_EQ(product_with_transposed(torch::zeros({0, 64}).to(dtype), torch::zeros({32, 64}).to(dtype)).sizes(), (std::vector<int64_t>{0, 32}));
    EXPECT_TRUE(product_with(torch::zeros({64, 0}).to(dtype), torch::zeros({0, 320}).to(dtype)).eq(0).all().item<bool>());
  }
}

// The kernel itself, on every processor that has its registers: the functions above use it on some.
TEST(Bf16Matmul, IsTheProductRoundedOnce) {
  if (!has_avx512_bf16()) GTEST_SKIP() << "no such registers here";
  for (const auto& sizes : kProductSizes)
    for (const bool transposed : {true, false}) {
      const torch::Tensor x = torch::randn({sizes.tokens, sizes.depth}).to(torch::kBFloat16), bias = torch::randn({sizes.columns}), out = torch::empty({sizes.tokens, sizes.columns}, torch::kBFloat16);
      const torch::Tensor weight = torch::randn(transposed ? std::vector{sizes.columns, sizes.depth} : std::vector{sizes.depth, sizes.columns}).to(torch::kBFloat16);
      const auto numbers = [](const torch::Tensor& tensor) { return static_cast<uint16_t*>(tensor.data_ptr()); };
      const Bf16Matmul product{sizes.tokens, sizes.depth, sizes.columns, numbers(x), numbers(weight), transposed, bias.data_ptr<float>(), numbers(out)};
      const torch::Tensor work = torch::empty({product.kWorkFloats});
      for (int64_t block = 0; block < product.blocks(); ++block)
        for (int64_t panel = 0; panel < product.panels(); panel += 3) bf16_matmul_avx512(product, block, panel, std::min<int64_t>(3, product.panels() - panel), work.data_ptr<float>());
      const torch::Tensor exact = at::matmul(in_double(x), transposed ? in_double(weight).t() : in_double(weight)) + in_double(bias);
      EXPECT_LT(error_of(out, exact), 2e-3) << sizes.tokens;
    }
}

}  // namespace
}  // namespace sara
