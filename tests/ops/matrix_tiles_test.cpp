// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/matrix_tiles.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <tuple>

#include "sara/ops/processor.h"

namespace sara {
namespace {

struct MatrixTiles : testing::Test {
  void SetUp() override {
    if (!has_tiles()) GTEST_SKIP() << "no tile registers here";
    torch::manual_seed(3);
  }
};

const uint16_t* bits(const torch::Tensor& x) { return static_cast<const uint16_t*>(x.const_data_ptr()); }

torch::Tensor words(int64_t count) { return torch::full({count}, 7, torch::kInt); }

TEST_F(MatrixTiles, RowsLieStepByStepWithZerosBehindTheLast) {
  const torch::Tensor rows = torch::randn({20, 96}).to(torch::kBFloat16), to = torch::full({2, kTileBlock, kTileStep}, 7, torch::kBFloat16);
  lay_tile_rows(static_cast<uint16_t*>(to.data_ptr()), bits(rows), 96, 20, 64);
  EXPECT_TRUE(to.narrow(1, 0, 20).equal(rows.narrow(1, 0, 64).view({20, 2, kTileStep}).transpose(0, 1)));
  EXPECT_EQ(to.narrow(1, 20, 12).abs().max().item<double>(), 0);
}

TEST_F(MatrixTiles, ColumnsLieInPairs) {
  const torch::Tensor columns = torch::randn({11, 128}).to(torch::kBFloat16), to = torch::full({48, kTileSide, 2}, 7, torch::kBFloat16);
  lay_tile_columns(static_cast<uint32_t*>(to.data_ptr()), bits(columns), 128, 11, 96);
  EXPECT_TRUE(to.narrow(1, 0, 11).equal(columns.narrow(1, 0, 96).view({11, 48, 2}).transpose(0, 1)));
  EXPECT_EQ(to.narrow(1, 11, 5).abs().max().item<double>(), 0);
}

TEST_F(MatrixTiles, ABlockIsTheProductOfRowsAndColumns) {
  constexpr int64_t kLength = 160;
  const torch::Tensor rows = torch::randn({kTileBlock, kLength}).to(torch::kBFloat16), columns = torch::randn({kTileBlock, kLength}).to(torch::kBFloat16);
  const torch::Tensor laid = torch::empty({kTileBlock * kLength}, torch::kBFloat16), left = words(kTileSide * kLength / 2), right = words(kTileSide * kLength / 2);
  lay_tile_rows(static_cast<uint16_t*>(laid.data_ptr()), bits(rows), kLength, kTileBlock, kLength);
  lay_tile_columns(static_cast<uint32_t*>(left.data_ptr()), bits(columns), kLength, kTileSide, kLength);
  lay_tile_columns(static_cast<uint32_t*>(right.data_ptr()), bits(columns) + kTileSide * kLength, kLength, kTileSide, kLength);
  const torch::Tensor exact = rows.to(torch::kDouble).mm(columns.to(torch::kDouble).t()), sums = torch::full({kTileBlock, kTileBlock}, 9.f);
  const TileRegisters registers;
  const auto multiply = [&](const uint32_t* second) { block_product(sums.data_ptr<float>(), bits(laid), static_cast<const uint32_t*>(left.data_ptr()), second, kLength); };
  multiply(nullptr);
  EXPECT_LT((sums.narrow(1, 0, kTileSide) - exact.narrow(1, 0, kTileSide)).abs().max().item<double>(), 1e-4);
  EXPECT_TRUE(sums.narrow(1, kTileSide, kTileSide).eq(9).all().item<bool>());
  multiply(static_cast<const uint32_t*>(right.data_ptr()));
  EXPECT_LT((sums - exact).abs().max().item<double>(), 1e-4);
}

TEST_F(MatrixTiles, WordsAreMultipliedInAnyNumbers) {
  for (const auto& [rows, registers, count] : {std::tuple{32, 4, 32}, {128, 3, 20}, {77, 1, 5}, {16, 2, 16}, {1, 1, 1}, {40, 4, 64}, {50, 2, 40}}) {
    const int64_t a_row = count + 3, b_row = 16 * registers + 16;
    torch::Tensor a = torch::randn({rows, a_row, 2}).to(torch::kBFloat16);
    a.narrow(1, count, 3).fill_(NAN);  // belongs to others, as what lies behind b's rows
    const torch::Tensor b = torch::randn({count + 16, b_row, 2}).to(torch::kBFloat16), c = torch::full({rows + 16, b_row}, 4.f);
    b.narrow(0, count, 16).fill_(NAN);
    const torch::Tensor exact = torch::einsum("rwp,wnp->rn", {a.narrow(1, 0, count).to(torch::kDouble), b.narrow(0, 0, count).narrow(1, 0, 16 * registers).to(torch::kDouble)});
    const auto multiply = [&](bool adds) {
      word_product(c.data_ptr<float>(), b_row, static_cast<const uint32_t*>(a.data_ptr()), a_row, static_cast<const uint32_t*>(b.data_ptr()), b_row, rows, registers, count, adds);
    };
    const TileRegisters registers_of_this_thread;
    for (const bool adds : {true, false}) {
      multiply(adds);
      EXPECT_LT((c.narrow(0, 0, rows).narrow(1, 0, 16 * registers) - exact - (adds ? 4 : 0)).abs().max().item<double>(), 1e-4) << rows << " x " << count;
    }
    EXPECT_TRUE(c.narrow(1, 16 * registers, 16).eq(4).all().item<bool>());
    EXPECT_TRUE(c.narrow(0, rows, 16).eq(4).all().item<bool>());
  }
}

TEST_F(MatrixTiles, WantedSumsGoToTheirEntries) {
  const int32_t indices[] = {100, 101, 105, 109, 110, 111, 112, 113, 114, 115, 116, 117, 118, 119, 120, 121, 122, 123, 140};
  int32_t places[24];
  float sums[24], out[19];
  for (int i = 0; i < 24; ++i) places[i] = 23 - i, sums[i] = static_cast<float>(i);
  for (const int64_t count : {0, 1, 5, 16, 18, 19}) {
    std::fill(out, out + 19, 0.5f);
    const int64_t taken = add_wanted(out, indices, count, 100, 24, places, sums);
    EXPECT_EQ(taken, std::min<int64_t>(count, 18));
    for (int64_t e = 0; e < 19; ++e) EXPECT_EQ(out[e], e < taken ? 0.5f + static_cast<float>(23 - (indices[e] - 100)) : 0.5f) << e;
  }
  EXPECT_EQ(add_wanted(out, indices, 19, 100, 5, places, sums), 2);
}

}  // namespace
}  // namespace sara
