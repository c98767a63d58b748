// SPDX-License-Identifier: Apache-2.0
// Linked into every unit test: torch's default generator starts each test from the same seed (libtorch seeds it at random).
#include <gtest/gtest.h>
#include <torch/types.h>

namespace {

struct Seeded : testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo&) override { torch::manual_seed(0); }
};

const bool kAdded = (testing::UnitTest::GetInstance()->listeners().Append(new Seeded), true);

}  // namespace
