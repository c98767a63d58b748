// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/upsample_nearest.h"

#include <gtest/gtest.h>
#include <torch/types.h>

namespace sara {
namespace {

TEST(UpsampleNearest, RepeatsEachNumber) {
  const torch::Tensor x = torch::tensor({1.f, 2.f, 3.f, 4.f}).view({1, 1, 2, 2});
  EXPECT_TRUE(upsample_nearest(x, 4, 4).flatten().equal(torch::tensor({1.f, 1.f, 2.f, 2.f, 1.f, 1.f, 2.f, 2.f, 3.f, 3.f, 4.f, 4.f, 3.f, 3.f, 4.f, 4.f})));
}

// Twice the size, twice less one (a map that was halved from an odd size), other factors, smaller, and sizes at which fp32 products round to the other side.
TEST(UpsampleNearest, GivesTheBitsOfTorchsAtAnySize) {
  constexpr int64_t kSizes[][4] = {{8, 8, 16, 16}, {4, 20, 8, 40}, {5, 7, 9, 13}, {3, 4, 6, 7}, {4, 3, 7, 6}, {2, 3, 10, 9}, {9, 9, 4, 5}, {1, 1, 3, 2}, {3, 2, 123, 94}, {6, 96, 12, 192}};
  for (const auto dtype : {torch::kFloat, torch::kBFloat16, torch::kHalf, torch::kDouble})
    for (const auto& [height, width, to_height, to_width] : kSizes) {
      const torch::Tensor x = torch::randn({2, 3, height, width}).to(dtype);
      EXPECT_TRUE(upsample_nearest(x, to_height, to_width).equal(torch::upsample_nearest2d(x, {to_height, to_width}))) << dtype << height << "x" << width << " -> " << to_height << "x" << to_width;
    }
}

TEST(UpsampleNearest, TakesMapsThatAreNotContiguousAndEmptyOnes) {
  const torch::Tensor turned = torch::randn({2, 5, 6, 3}).permute({0, 3, 1, 2});
  EXPECT_TRUE(upsample_nearest(turned, 10, 12).equal(torch::upsample_nearest2d(turned, {10, 12})));
  EXPECT_EQ(upsample_nearest(torch::empty({0, 3, 4, 4}), 8, 8).sizes(), (std::vector<int64_t>{0, 3, 8, 8}));
}

}  // namespace
}  // namespace sara
