// SPDX-License-Identifier: Apache-2.0
// The tests' device must show what a GPU shows.
#include "tests/cuda/device.h"

#include <cmath>

namespace sara {
namespace {

TEST_F(OnKernelDevice, ATensorLeftOnTheCpuIsRefused) {
  const torch::Tensor x = there(torch::randn({3, 3})), left_behind = torch::randn({3, 3});
  EXPECT_ANY_THROW(x + left_behind);
  EXPECT_ANY_THROW(x.mm(left_behind));
  EXPECT_ANY_THROW(torch::cat({x, left_behind}));
  EXPECT_ANY_THROW(torch::conv2d(x.view({1, 1, 3, 3}), left_behind.view({1, 1, 3, 3})));
  EXPECT_TRUE((x + 1).cpu().equal(x.cpu() + 1));  // numbers may lie anywhere
}

TEST_F(OnKernelDevice, ReadingBackIsCountedAsWaiting) {
  if (!host_waits()) GTEST_SKIP() << "nothing counts how often the host waits for this device";
  const torch::Tensor x = there(torch::ones({4}));
  const auto waits = [](const auto& work) {
    const int64_t before = *host_waits();
    work();
    return *host_waits() - before;
  };
  EXPECT_EQ(waits([&] { x.sum().add_(x.exp().mean()); }), 0);
  EXPECT_EQ(waits([&] { x.sum().item<float>(); }), 1);
  EXPECT_EQ(waits([&] { x.cpu(); }), 1);
  EXPECT_EQ(waits([&] { x.nonzero(); }), 1);
}

}  // namespace
}  // namespace sara
