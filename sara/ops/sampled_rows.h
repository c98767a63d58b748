// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <span>

#include "sara/ops/sampled_dots.h"
#include "sara/ops/sampled_entries.h"

namespace sara {

inline int64_t rounded_to_lanes(int64_t length) { return (length + kSampledLanes - 1) / kSampledLanes * kSampledLanes; }

// From one line to the next: an odd number of cache lines of 64 bytes, or equal places of many lines would compete for the
// same few places of a cache.
inline int64_t spaced_line(int64_t length, int64_t element_size) {
  const int64_t cache_lines = (length * element_size + 63) / 64;
  return (cache_lines | 1) * 64 / element_size;
}

// A row's entries, and its numbers, are asked for from memory so many rows (with entries) before they are used: in a block a row has few, too few for the
// processor to foresee the next row's.
constexpr size_t kRowsAhead = 4, kNumbersAhead = 2;

// Adds the products of some rows in some blocks of columns to `sums`, one for every entry of the matrix. Row r of the left factor begins at
// left + (r - rows.begin) · stride, column c of the right one at right + column_starts[c - first_column], each of `length` numbers.
template <class T>
void add_rows(float* sums, const SampledEntries& entries, Range rows, Range blocks, const T* left, int64_t stride, const T* right, const int64_t* column_starts, int64_t length,
              SampledDots<T> dots, int64_t first_column = 0) {
  for (int64_t block = blocks.begin; block < blocks.end; ++block) {
    const std::span<const int32_t> occupied = entries.rows_of(block, rows);
    for (int64_t i = 0; i < length; i += kDotsLength<T>) {
      const int64_t numbers = std::min(kDotsLength<T>, length - i);
      for (size_t at = 0; at < occupied.size(); ++at) {
        const auto numbers_of = [&](size_t r) { return left + (occupied[r] - rows.begin) * stride + i; };
        if (at + kNumbersAhead < occupied.size())
          for (int64_t ahead = 0; ahead < numbers; ahead += 64 / static_cast<int64_t>(sizeof(T))) __builtin_prefetch(numbers_of(at + kNumbersAhead) + ahead, 0, /*second cache*/ 2);
        if (const size_t later = at + kRowsAhead; later < occupied.size())
          for (int64_t k = entries.first(occupied[later], block); k < entries.first(occupied[later], block + 1); k += 16) {
            __builtin_prefetch(entries.indices() + k);
            __builtin_prefetch(sums + k, 1);
          }
        const int64_t row = occupied[at], first = entries.first(row, block), count = entries.first(row, block + 1) - first;
        dots(sums + first, numbers_of(at), right + i, column_starts, entries.indices() + first, entries.row_begin(row) + static_cast<int32_t>(first_column), count, numbers);
      }
    }
  }
}

}  // namespace sara
