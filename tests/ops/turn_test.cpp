// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/turn.h"

#include <gtest/gtest.h>
#include <torch/types.h>

namespace sara {
namespace {

struct TurnCase {
  int64_t batch, channels, height, width;
};

struct Turn : testing::TestWithParam<TurnCase> {};

TEST_P(Turn, AMapBecomesItsTokensAndAMapAgain) {
  const auto [batch, channels, height, width] = GetParam();
  for (const auto dtype : {torch::kFloat, torch::kBFloat16, torch::kHalf, torch::kDouble}) {
    const torch::Tensor map = torch::randn({batch, channels, height, width}).to(dtype), tokens = tokens_of_map(map);
    EXPECT_TRUE(tokens.is_contiguous() && tokens.equal(map.flatten(2).transpose(1, 2))) << dtype;
    const torch::Tensor again = map_of_tokens(tokens, map.sizes());
    EXPECT_TRUE(again.is_contiguous() && again.equal(map)) << dtype;
  }
}
INSTANTIATE_TEST_SUITE_P(Shapes, Turn, testing::Values(TurnCase{2, 64, 8, 8}, TurnCase{1, 1, 1, 1}, TurnCase{3, 100, 7, 9}, TurnCase{1, 320, 16, 16}, TurnCase{2, 33, 1, 31}, TurnCase{0, 4, 2, 2}));

TEST(Turn, TakesAMapThatDoesNotLieInOrder) {
  const torch::Tensor map = torch::randn({2, 9, 8, 40}).permute({0, 3, 1, 2});
  EXPECT_TRUE(tokens_of_map(map).equal(map.flatten(2).transpose(1, 2)));
}

TEST(Turn, LeavesWhatLiesBesideAMatrixAlone) {
  std::vector<float> from(40 * 50, 1.0f), to(40 * 60, -1.0f);
  turn_matrix(to.data(), int64_t{60}, from.data(), int64_t{50}, int64_t{40}, int64_t{30}, turn_block_f32());
  for (int64_t row = 0; row < 40; ++row)
    for (int64_t i = 0; i < 60; ++i) ASSERT_EQ(to[row * 60 + i], row < 30 && i < 40 ? 1.0f : -1.0f) << row << ", " << i;
}

template <class T>
struct TurnSome : testing::Test {
  static at::ScalarType dtype() { return sizeof(T) == 2 ? torch::kBFloat16 : torch::kFloat; }
  static TurnBlock<T> block() {
    if constexpr (sizeof(T) == 2)
      return turn_block_bf16();
    else
      return turn_block_f32();
  }
};
using TurnedTypes = testing::Types<float, bf16_bits>;
TYPED_TEST_SUITE(TurnSome, TurnedTypes);

TYPED_TEST(TurnSome, TurnsTheWantedColumnsAloneAndSumsAll) {
  constexpr int64_t kRows = 75, kColumns = 137, kFirst = 13;  // blocks and what is left of both; the matrix is some columns of a wider one
  const torch::Tensor from = torch::randn({kRows, kColumns}).to(this->dtype());
  const torch::Tensor to = torch::full({kColumns, kRows}, -7.0).to(this->dtype()), sums = torch::ones({kColumns});
  ColumnSet wanted(kFirst + kColumns);
  std::vector<bool> is_wanted(kColumns);
  for (int64_t c = 0; c < kColumns; ++c)
    if ((is_wanted[c] = c % 3 == 0 || c > 130)) wanted.insert(kFirst + c);
  turn_matrix(mutable_numbers<TypeParam>(to), kRows, numbers<TypeParam>(from), kColumns, kRows, kColumns, this->block(), &wanted, kFirst, sums.data_ptr<float>());
  for (int64_t c = 0; c < kColumns; ++c) EXPECT_TRUE(is_wanted[c] ? to[c].equal(from.select(1, c)) : to[c].eq(-7).all().template item<bool>()) << c;
  EXPECT_TRUE((sums - 1).to(torch::kDouble).allclose(from.to(torch::kDouble).sum(0), 1e-5, 1e-4));
}

}  // namespace
}  // namespace sara
