// SPDX-License-Identifier: Apache-2.0
#include "sara/cuda/numbers.cuh"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <bit>

namespace sara::cuda {
namespace {

// All 2^16 numbers of a 16-bit type, and every fp32 number with some pattern in its lower half, which meets every rounding.
torch::Tensor all_bits() { return torch::arange(65536, torch::kInt).to(torch::kShort); }

torch::Tensor many_floats() {
  const auto low = torch::tensor({0, 1, 0x0fff, 0x1000, 0x1001, 0x2fff, 0x3000, 0x7fff, 0x8000, 0x8001, 0xffff}, torch::kInt);
  return (torch::arange(65536, torch::kInt).unsqueeze(1) * 65536 + low).view(-1).view(torch::kFloat);
}

// Equal bits, or both NaN.
testing::AssertionResult same(const torch::Tensor& ours, const torch::Tensor& theirs) {
  const torch::Tensor wrong = (ours.ne(theirs) & ~(ours.isnan() & theirs.isnan())) | (ours.signbit().ne(theirs.signbit()) & ~ours.isnan());
  if (!wrong.any().item<bool>()) return testing::AssertionSuccess();
  const auto at = wrong.nonzero()[0].item<int64_t>();
  return testing::AssertionFailure() << "at " << at << ": " << ours[at].item<double>() << " instead of " << theirs[at].item<double>();
}

template <class T>
void reads_and_rounds_as_torch(at::ScalarType dtype) {
  const torch::Tensor bits = all_bits(), widened = torch::empty({65536});
  for (int64_t i = 0; i < 65536; ++i) widened.data_ptr<float>()[i] = to_float(T{static_cast<uint16_t>(i)});
  EXPECT_TRUE(same(widened, bits.view(dtype).to(torch::kFloat)));

  const torch::Tensor floats = many_floats(), rounded = torch::empty({floats.numel()}, torch::kShort);
  for (int64_t i = 0; i < floats.numel(); ++i) {
    T number{};
    store(&number, floats.const_data_ptr<float>()[i]);
    rounded.data_ptr<int16_t>()[i] = std::bit_cast<int16_t>(number.bits);
  }
  EXPECT_TRUE(same(rounded.view(dtype).to(torch::kFloat), floats.to(dtype).to(torch::kFloat)));
}

TEST(Numbers, BFloat16IsReadAndRoundedAsByTorch) { reads_and_rounds_as_torch<BFloat16>(torch::kBFloat16); }
TEST(Numbers, HalfIsReadAndRoundedAsByTorch) { reads_and_rounds_as_torch<Half>(torch::kHalf); }

}  // namespace
}  // namespace sara::cuda
