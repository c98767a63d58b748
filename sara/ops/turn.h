// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <algorithm>

#include "sara/ops/column_set.h"
#include "sara/ops/sampled_dots.h"
#include "sara/ops/vectorized.h"

namespace sara {

// to[c · to_row + r] = from[r · from_row + c] for `rows` rows and `columns` columns, in blocks (sampled_dots.h). Of `wanted` columns alone, column 0 being
// its column `first`; all, where it is null. sums[c] += the sum of column c, wanted or not, where sums is not null. The numbers are asked for two blocks
// ahead, for the second cache only: the first has few buffers for lines on their way.
template <class T>
void turn_matrix(T* to, int64_t to_row, const T* from, int64_t from_row, int64_t rows, int64_t columns, TurnBlock<T> turn_block, const ColumnSet* wanted = nullptr, int64_t first = 0,
                 float* sums = nullptr) {
  constexpr int64_t kBlock = kTurnBlock<T>;
  for (int64_t r0 = 0; r0 < rows; r0 += kBlock)
    for (int64_t c0 = 0; c0 < columns; c0 += kBlock) {
      const int64_t r1 = std::min(rows, r0 + kBlock), c1 = std::min(columns, c0 + kBlock);
      const uint32_t here = wanted ? wanted->from(first + c0) : ~0u;
      for (int64_t r = r1 + kBlock; r < std::min(rows, r1 + 2 * kBlock); ++r) __builtin_prefetch(from + r * from_row + c0, 0, /*second cache*/ 2);
      if (r1 - r0 == kBlock && c1 - c0 == kBlock) {
        turn_block(to + c0 * to_row + r0, to_row, from + r0 * from_row + c0, from_row, here, sums ? sums + c0 : nullptr);
        continue;
      }
      for (int64_t c = c0; c < c1; ++c) {
        for (int64_t r = r0; r < r1 && (here >> (c - c0) & 1); ++r) to[c * to_row + r] = from[r * from_row + c];
        for (int64_t r = r0; r < r1 && sums; ++r) sums[c] += load(from + r * from_row + c);
      }
    }
}

// A feature map [B, C, H, W] as tokens [B, H · W, C], and tokens as a map of the given sizes: contiguous copies, but that a channels_last map is tokens already.
torch::Tensor tokens_of_map(const torch::Tensor& map);
torch::Tensor map_of_tokens(const torch::Tensor& tokens, at::IntArrayRef sizes);
// As a map of the sizes and the layout of another: without a copy where that one is channels_last.
torch::Tensor map_like(const torch::Tensor& tokens, const torch::Tensor& other);

}  // namespace sara
