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

}  // namespace
}  // namespace sara
