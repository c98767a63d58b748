// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/patch_embed.h"

#include <gtest/gtest.h>
#include <torch/utils.h>

#include "sara/base/error.h"

namespace sara {
namespace {

// Projects nothing: what comes out is the position table's middle.
std::shared_ptr<PatchEmbed> positions_alone() {
  const torch::NoGradGuard no_grad;
  auto patches = std::make_shared<PatchEmbed>(PatchEmbedOptions{.in = 1, .channels = 4, .patch = 2, .table_side = 5, .base_side = 5}, torch::kFloat32);
  for (auto& parameter : patches->parameters()) parameter.zero_();
  patches->fill_table_();
  return patches;
}

TEST(PatchEmbed, TakesTheMiddleOfTheTable) {
  const torch::NoGradGuard no_grad;
  const auto positions = positions_alone()->forward(torch::zeros({1, 1, 2, 6}));  // 1 x 3 patches: row 2, columns 1, 2, 3
  ASSERT_EQ(positions.sizes(), (std::vector<int64_t>{1, 3, 4}));
  for (int64_t i = 0; i < 3; ++i) {
    const double column = double(i) + 1, row = 2;
    const auto expected = torch::tensor({std::sin(column), std::cos(column), std::sin(row), std::cos(row)}, torch::kFloat32);
    EXPECT_TRUE(positions[0][i].allclose(expected)) << i;
  }
}

TEST(PatchEmbed, TheTableIsABufferAndNoParameter) {
  const auto patches = positions_alone();
  EXPECT_EQ(patches->parameters().size(), 2u);
  EXPECT_TRUE(patches->named_buffers().contains("pos_embed"));
}

TEST(PatchEmbed, SidesThatDoNotFitAreRefused) {
  const auto patches = positions_alone();
  EXPECT_THROW(patches->forward(torch::zeros({1, 1, 3, 4})), InvalidArgument);
  EXPECT_THROW(patches->forward(torch::zeros({1, 1, 4, 12})), InvalidArgument);
  EXPECT_NO_THROW(patches->forward(torch::zeros({1, 1, 10, 10})));
}

}  // namespace
}  // namespace sara
