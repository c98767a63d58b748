// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/release_point.h"

#include <gtest/gtest.h>
#include <malloc.h>
#include <torch/types.h>

#include <cstdlib>
#include <vector>

#include "sara/base/free_memory.h"

namespace sara {
namespace {

TEST(ReleasePoint, PassesValuesAndGradientsOn) {
  const torch::Tensor x = torch::randn({3, 4}).requires_grad_(), gradient = torch::randn({3, 4});
  const torch::Tensor y = release_point(x);
  EXPECT_TRUE(y.equal(x));
  (y * gradient).sum().backward();
  EXPECT_TRUE(x.grad().equal(gradient));
}

TEST(ReleasePoint, WithoutAGradientItIsTheTensorItself) {
  const torch::Tensor x = torch::randn({3});
  EXPECT_TRUE(release_point(x).is_same(x));
}

TEST(FreeMemory, GoesBackToTheSystemWhenItIsMoreThanAsked) {
  const auto held = [] { return static_cast<int64_t>(mallinfo2().arena); };  // the heap as the system sees it
  std::vector<void*> blocks;
  for (int i = 0; i < 4000; ++i) blocks.push_back(std::malloc(16'000));
  for (void* block : blocks) std::free(block);
  void* const last = std::malloc(64);
  give_back_free_memory(int64_t{1} << 40);
  const int64_t before = held();
  give_back_free_memory(0);
  EXPECT_LE(held(), before);
  EXPECT_LE(static_cast<int64_t>(mallinfo2().keepcost), 256 << 10);  // nothing to trim is left at its end
  std::free(last);
}

}  // namespace
}  // namespace sara
