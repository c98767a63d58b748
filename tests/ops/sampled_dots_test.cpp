// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/sampled_dots.h"

#include <gtest/gtest.h>
#include <torch/types.h>

namespace sara {
namespace {

TEST(SampledDots, EveryVariantAgreesWithTheSpecification) {
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

// Threads cut the columns into blocks: in which company one passes must not show in its sum.
template <class T>
void expect_the_same_alone(SampledDots<T> dots, at::ScalarType dtype) {
  const torch::Tensor row = torch::randn({kDotsLength<T>}).to(dtype), columns = torch::randn({21, kDotsLength<T>}).to(dtype), indices = torch::arange(21, torch::kInt);
  std::vector<int64_t> starts;
  for (int64_t c = 0; c < 21; ++c) starts.push_back(c * kDotsLength<T>);
  const auto add = [&](const torch::Tensor& sums, int64_t first, int64_t count, int64_t length) {
    dots(sums.data_ptr<float>() + first, static_cast<const T*>(row.data_ptr()), static_cast<const T*>(columns.data_ptr()), starts.data(), indices.data_ptr<int32_t>() + first, 0, count, length);
  };
  for (int64_t length = kSampledLanes; length <= kDotsLength<T>; length += kSampledLanes) {
    const torch::Tensor together = torch::full({21}, 0.1f);
    add(together, 0, 21, length);
    for (const int64_t count : {1, 2, 3, 7}) {
      const torch::Tensor apart = torch::full({21}, 0.1f);
      for (int64_t first = 0; first < 21; first += count) add(apart, first, std::min<int64_t>(count, 21 - first), length);
      EXPECT_TRUE(apart.equal(together)) << dtype << ", " << length << " numbers, " << count << " columns";
    }
  }
}

TEST(SampledDots, GivesAColumnTheSameBitsInAnyCompany) {
  expect_the_same_alone<float>(sampled_dots_f32(), torch::kFloat);
  if (sampled_dots_bf16()) expect_the_same_alone<uint16_t>(sampled_dots_bf16(), torch::kBFloat16);
}

}  // namespace
}  // namespace sara
