// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "sara/ops/sampled_dots.h"

namespace sara {

inline int64_t rounded_to_lanes(int64_t length) { return (length + kSampledLanes - 1) / kSampledLanes * kSampledLanes; }

// From one line to the next: an odd number of cache lines of 64 bytes, or equal places of many lines would compete for the
// same few places of a cache.
inline int64_t spaced_line(int64_t length, int64_t element_size) {
  const int64_t cache_lines = (length * element_size + 63) / 64;
  return (cache_lines | 1) * 64 / element_size;
}

// How many of `columns` columns, held in order by `lines` lines, a core's second cache keeps at `line_bytes` of each line.
int64_t columns_together(int64_t columns, int64_t lines, int64_t line_bytes);

struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

class SampledEntries;

// The wanted entries of a matrix: sorted flat positions [n] int32 and, as in Values::Slot, where each row's begin, [rows + 1] int64. What is found out about
// them is left in `kept`, where there is such a place, for the next time; it must be emptied when the positions change.
struct SampledPositions {
  torch::Tensor indices, row_starts;
  std::shared_ptr<const SampledEntries>* kept = nullptr;
};

// How the columns of a matrix are cut into blocks.
struct ColumnCut {
  int64_t columns, blocks, together;  // columns of a block

  // `line_bytes` of each of `lines` lines pass together, so that they stay in a core's second cache; they hold the `columns` columns in order. The number of
  // blocks is a multiple of `parts`, each begins at a multiple of `step` columns.
  ColumnCut(int64_t columns, int64_t lines, int64_t line_bytes, int64_t parts = 1, int64_t step = 1);
  bool operator==(const ColumnCut&) const = default;
};

// The entries of a sparse matrix by row and, within a row, by blocks of neighbouring columns that pass together, so that their numbers
// stay in a core's second cache while all rows pass.
class SampledEntries {
 public:
  SampledEntries(const torch::Tensor& indices, const torch::Tensor& row_starts, const ColumnCut& cut);
  // The same as the last time where that is kept and was cut alike.
  static std::shared_ptr<const SampledEntries> of(const SampledPositions& positions, const ColumnCut& cut);

  int64_t rows() const { return rows_; }
  int64_t blocks() const { return cut_.blocks; }
  int64_t column(int64_t block) const { return std::min(cut_.columns, block * cut_.together); }  // the first of the block
  int64_t first(int64_t row, int64_t block) const { return firsts_[block * rows_ + row]; }  // its last ends where the next block's begins
  std::span<const int32_t> rows_of(int64_t block, Range rows) const;                        // those of `rows` that have entries in the block
  const int32_t* indices() const { return indices_; }
  int32_t row_begin(int64_t row) const { return static_cast<int32_t>(row * cut_.columns); }  // the flat position of its first column

  // The rows in parts of about equal numbers of entries, each of which begins at a multiple of `step`.
  int64_t first_row(int64_t part, int64_t parts, int64_t step = 1) const;

 private:
  // The first of the entries [first, end) that lies at `position` or behind it, looked for from where it is if they lie evenly over as many blocks.
  int64_t first_at(int64_t position, int64_t first, int64_t end, int64_t blocks) const;

  const int32_t* indices_;
  int64_t rows_, selected_;
  ColumnCut cut_;
  std::vector<int32_t> firsts_;                 // [blocks + 1, rows]
  std::vector<std::vector<int32_t>> occupied_;  // of each block, the rows that have entries in it
};

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
