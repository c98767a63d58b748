// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sara/ops/tile_rows.h"

namespace sara {

// Products with a linear layer's weight, out [tokens, columns] = x [tokens, depth] · W (+ bias), of bf16 numbers (their bits) in fp32
// registers of 512 bits: numbers become fp32 on the way in, a sum is rounded once on the way out. For processors whose own products
// of bf16 are slower than that.
struct Bf16Matmul {
  int64_t tokens, depth, columns;
  const uint16_t* x;
  const uint16_t* weight;
  bool transposed;    // weight [columns, depth], else [depth, columns]
  const float* bias;  // [columns] or null
  uint16_t* out;

  // The work is cut into blocks of tokens, of about a length, by panels of columns.
  int64_t blocks() const { return (tokens + kMostTokens - 1) / kMostTokens; }
  int64_t block_tokens() const { return ((tokens + blocks() - 1) / blocks() + kTileRows - 1) / kTileRows * kTileRows; }
  int64_t panels() const { return (columns + kTileColumns - 1) / kTileColumns; }

  static constexpr int64_t kMostTokens = 38 * kTileRows, kPanels = 8, kDepth = 512;  // at a time: their sums and panels stay in the second cache
  static constexpr int64_t kSumRow = kPanels * kTileColumns + 16, kTokenRow = kDepth + 16;
  static constexpr int64_t kWorkFloats = kMostTokens * kSumRow + kPanels * kDepth * kTileColumns + kTileRows * kTokenRow;
};

// Block `block` of the tokens by panels [first, first + count), count <= kPanels. work: kWorkFloats.
void bf16_matmul_avx512(const Bf16Matmul&, int64_t block, int64_t first, int64_t count, float* work);

}  // namespace sara
