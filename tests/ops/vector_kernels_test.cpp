// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/vector_kernels.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <bit>
#include <cmath>
#include <limits>

#include "sara/sparse/eight_bit.h"

namespace sara {
namespace {

// Ordinary, subnormal, tied and special numbers, and every exponent.
torch::Tensor every_kind() {
  std::vector<float> numbers;
  for (uint64_t bits = 0; bits < (uint64_t{1} << 32); bits += 65521) numbers.push_back(std::bit_cast<float>(static_cast<uint32_t>(bits)));
  for (const float edge : {0.0f, -0.0f, 1.00390625f, 1.01171875f, 65504.0f, 65519.99f, 65520.0f, 5.9604645e-8f, 2.9802322e-8f, 3.4028235e38f})
    numbers.push_back(edge);
  numbers.push_back(std::numeric_limits<float>::infinity());
  return torch::tensor(numbers);
}

template <void (*Round)(const float*, uint16_t*, int64_t), void (*Widen)(const uint16_t*, float*, int64_t)>
void expect_torchs_rounding(at::ScalarType dtype) {
  const torch::Tensor numbers = every_kind(), rounded = torch::empty({numbers.numel()}, dtype), back = torch::empty_like(numbers);
  Round(numbers.const_data_ptr<float>(), static_cast<uint16_t*>(rounded.data_ptr()), numbers.numel());
  Widen(static_cast<const uint16_t*>(rounded.const_data_ptr()), back.data_ptr<float>(), numbers.numel());
  const torch::Tensor expected = numbers.to(dtype), real = numbers.isnan().logical_not();
  EXPECT_TRUE(rounded.view(torch::kShort).masked_select(real).equal(expected.view(torch::kShort).masked_select(real)));
  EXPECT_TRUE(at::allclose(back, expected.to(torch::kFloat), 0, 0, /*equal_nan=*/true));
}

TEST(VectorKernels, RoundToHalfPrecisionAndBackAsTorchDoes) {
  expect_torchs_rounding<round_to_bfloat16, widen_bfloat16>(torch::kBFloat16);
  expect_torchs_rounding<round_to_half, widen_half>(torch::kHalf);
}

TEST(VectorKernels, SumOfSquaresIsInFp64AtEveryLength) {
  EXPECT_EQ(sum_of_squares(nullptr, 0), 0);
  const torch::Tensor x = torch::randn({100});
  for (const int64_t count : {1, 15, 16, 17, 100})
    EXPECT_NEAR(sum_of_squares(x.const_data_ptr<float>(), count), x.narrow(0, 0, count).to(torch::kDouble).square().sum().item<double>(), 1e-12);
  const torch::Tensor large = torch::full({64}, 1e30f);  // squares that leave fp32
  EXPECT_NEAR(sum_of_squares(large.const_data_ptr<float>(), 64) / (64 * std::pow(static_cast<double>(1e30f), 2)), 1, 1e-12);
}

TEST(VectorKernels, CodeMomentsAsTheTensorVersionDoesBitForBit) {
  for (const int64_t count : {256, 17, 1})
    for (const float size : {1.0f, 1e-9f, 0.0f}) {
      const torch::Tensor first = torch::randn({count}).pow(3) * size, second = first.square(), back = torch::empty({count});
      const EightBit m = to_eight_bit(first, true, 1000, moment_key(5)), v = to_eight_bit(second, false, 1000, moment_key(5));
      const torch::Tensor m_codes = torch::empty_like(m.codes), v_codes = torch::empty_like(v.codes);
      EXPECT_EQ(round_to_signed_codes(first.const_data_ptr<float>(), m_codes.data_ptr<int8_t>(), count, 1000, moment_key(5)), m.scales[0].item<float>());
      EXPECT_EQ(round_to_unsigned_codes(second.const_data_ptr<float>(), v_codes.data_ptr<uint8_t>(), count, 1000, moment_key(5)), v.scales[0].item<float>());
      EXPECT_TRUE(m_codes.equal(m.codes));
      EXPECT_TRUE(v_codes.equal(v.codes));
      widen_signed_codes(m_codes.const_data_ptr<int8_t>(), m.scales[0].item<float>(), back.data_ptr<float>(), count);
      EXPECT_TRUE(back.equal(from_eight_bit(m)));
      widen_unsigned_codes(v_codes.const_data_ptr<uint8_t>(), v.scales[0].item<float>(), back.data_ptr<float>(), count);
      EXPECT_TRUE(back.equal(from_eight_bit(v)));
    }
}

}  // namespace
}  // namespace sara
