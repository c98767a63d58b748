// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <algorithm>

#include "sara/ops/sampled_dots.h"

namespace sara {

// to[c · to_row + r] = from[r · from_row + c] for `rows` rows and `columns` columns, in blocks (sampled_dots.h); the next block's
// numbers are on their way while one is turned.
template <class T>
void turn_matrix(T* to, int64_t to_row, const T* from, int64_t from_row, int64_t rows, int64_t columns, TurnBlock<T> turn_block) {
  constexpr int64_t kBlock = kTurnBlock<T>;
  for (int64_t r0 = 0; r0 < rows; r0 += kBlock)
    for (int64_t c0 = 0; c0 < columns; c0 += kBlock) {
      const int64_t r1 = std::min(rows, r0 + kBlock), c1 = std::min(columns, c0 + kBlock);
      for (int64_t r = r1; r < std::min(rows, r1 + kBlock); ++r) __builtin_prefetch(from + r * from_row + c0);
      if (r1 - r0 == kBlock && c1 - c0 == kBlock) {
        turn_block(to + c0 * to_row + r0, to_row, from + r0 * from_row + c0, from_row);
        continue;
      }
      for (int64_t c = c0; c < c1; ++c)
        for (int64_t r = r0; r < r1; ++r) to[c * to_row + r] = from[r * from_row + c];
    }
}

// A feature map [B, C, H, W] as tokens [B, H · W, C], and tokens as a map of the given sizes: contiguous copies.
torch::Tensor tokens_of_map(const torch::Tensor& map);
torch::Tensor map_of_tokens(const torch::Tensor& tokens, at::IntArrayRef sizes);

}  // namespace sara
