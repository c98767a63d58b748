// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "sara/ops/column_set.h"

namespace sara {

struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

class SampledEntries;

// The wanted entries of a matrix: sorted flat positions [n] int32 and, as in Values::Slot, where each row's begin, [rows + 1] int64. What is found out about
// them is left in `kept`, where there is such a place, for the next time. It holds the positions, and must be emptied when they are changed where they lie.
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

  // Of few entries many rows have none, and columns: those that have some; null where nearly all do.
  const ColumnSet* wanted_rows() const { return wanted_rows_ ? &*wanted_rows_ : nullptr; }
  const ColumnSet* wanted_columns() const { return wanted_columns_ ? &*wanted_columns_ : nullptr; }

  // The rows in parts of about equal numbers of entries, each of which begins at a multiple of `step`.
  int64_t first_row(int64_t part, int64_t parts, int64_t step = 1) const;

 private:
  // The first of the entries [first, end) that lies at `position` or behind it, looked for from where it is if they lie evenly over as many blocks.
  int64_t first_at(int64_t position, int64_t first, int64_t end, int64_t blocks) const;

  torch::Tensor positions_;  // held, so that no others can lie at the same place
  const int32_t* indices_;
  int64_t rows_, selected_;
  ColumnCut cut_;
  std::vector<int32_t> firsts_;                 // [blocks + 1, rows]
  std::vector<std::vector<int32_t>> occupied_;  // of each block, the rows that have entries in it
  std::optional<ColumnSet> wanted_rows_, wanted_columns_;
};

}  // namespace sara
