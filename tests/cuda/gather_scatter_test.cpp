// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/gather_scatter.h"

#include "tests/cuda/device.h"

namespace sara {
namespace {

struct GatherScatterOn : OnKernelDevice, testing::WithParamInterface<std::tuple<at::ScalarType, at::ScalarType>> {};

// A tensor of two blocks and a bit, a transposed one, and a channels_last one.
std::vector<torch::Tensor> weights(at::ScalarType dtype) {
  return {torch::randn({30, 19}).to(dtype), torch::randn({19, 30}).to(dtype).t(), torch::randn({6, 5, 3, 3}).to(dtype).contiguous(at::MemoryFormat::ChannelsLast)};
}

torch::Tensor some_indices(const torch::Tensor& weight, at::ScalarType dtype) { return std::get<0>(torch::randperm(weight.numel()).narrow(0, 0, weight.numel() / 2 + 1).sort()).to(dtype); }

TEST_P(GatherScatterOn, GatherAddsTheSameNumbersAsOnTheCpu) {
  const auto [dtype, index] = GetParam();
  for (const torch::Tensor& weight : weights(dtype)) {
    const torch::Tensor indices = some_indices(weight, index), start = torch::randn({indices.numel()}), expected = start.clone();
    gather_add_(expected, weight, indices);
    const auto ours = by_kernels([&] {
      const torch::Tensor compact = there(start);
      gather_add_(compact, there(weight), there(indices));
      return std::vector{compact};
    });
    EXPECT_TRUE(ours[0].equal(expected));
  }
}

TEST_P(GatherScatterOn, ScatterWritesTheSameBitsAsOnTheCpuAndNothingElse) {
  const auto [dtype, index] = GetParam();
  for (const torch::Tensor& weight : weights(dtype)) {
    const torch::Tensor indices = some_indices(weight, index);
    for (const torch::Tensor& compact : {torch::randn({indices.numel()}), torch::randn({indices.numel()}).to(dtype)}) {
      const torch::Tensor expected = weight.clone();
      scatter_(expected, indices, compact);
      EXPECT_FALSE(expected.equal(weight));
      const auto ours = by_kernels([&] {
        const torch::Tensor dense = there(weight);
        scatter_(dense, there(indices), there(compact));
        return std::vector{dense};
      });
      EXPECT_TRUE(ours[0].equal(expected));
    }
  }
}

TEST_P(GatherScatterOn, NothingSelectedChangesNothing) {
  const auto [dtype, index] = GetParam();
  const torch::Tensor weight = torch::randn({4, 4}).to(dtype), none = torch::empty({0}, index);
  const auto ours = by_kernels([&] {
    const torch::Tensor dense = there(weight), compact = there(torch::empty({0}));
    scatter_(dense, there(none), compact);
    gather_add_(compact, dense, there(none));
    return std::vector{dense};
  });
  EXPECT_TRUE(ours[0].equal(weight));
}

INSTANTIATE_TEST_SUITE_P(EveryType, GatherScatterOn, testing::Combine(testing::Values(torch::kFloat, torch::kBFloat16, torch::kHalf), testing::Values(torch::kInt, torch::kLong)));

}  // namespace
}  // namespace sara
