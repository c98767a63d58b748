// SPDX-License-Identifier: Apache-2.0
#include "sara/rank/sparse_gram.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <vector>

#include "sara/base/error.h"

namespace sara {
namespace {

// The entries by row: those of row r are [starts[r], starts[r + 1]), each with its place in the row, in order.
struct Rows {
  std::vector<int32_t> starts, places;
  std::vector<float> values;
};

Rows rows_of(const float* values, const int32_t* indices, int64_t count, int64_t rows, int64_t columns) {
  Rows by{std::vector<int32_t>(rows + 1), std::vector<int32_t>(count), std::vector<float>(values, values + count)};
  for (int64_t row = 0, i = 0; row <= rows; ++row) {
    for (; i < count && indices[i] < row * columns; ++i) {
      by.places[i] = static_cast<int32_t>(indices[i] - (row - 1) * columns);
      SARA_CHECK(by.places[i] >= 0, "positions out of order");
    }
    by.starts[row] = static_cast<int32_t>(i);
  }
  SARA_CHECK(by.starts[rows] == count, "positions outside the matrix");
  return by;
}

Rows turned(const Rows& from, int64_t columns) {
  Rows to{std::vector<int32_t>(columns + 1), std::vector<int32_t>(from.places.size()), std::vector<float>(from.places.size())};
  for (const int32_t column : from.places) ++to.starts[column + 1];
  for (int64_t c = 0; c < columns; ++c) to.starts[c + 1] += to.starts[c];
  std::vector<int32_t> next(to.starts.begin(), to.starts.end() - 1);
  for (size_t row = 0; row + 1 < from.starts.size(); ++row)
    for (int32_t i = from.starts[row]; i < from.starts[row + 1]; ++i) {
      const int32_t at = next[from.places[i]]++;
      to.places[at] = static_cast<int32_t>(row);
      to.values[at] = from.values[i];
    }
  return to;
}

// Row r of the lower triangle: sums[j] = sum over the entries (k, v) of the row of v times entry j of what lies across at k, j <= r.
void add_row(float* sums, const Rows& shorter, const Rows& across, int64_t row) {
  for (int32_t i = shorter.starts[row]; i < shorter.starts[row + 1]; ++i) {
    const float value = shorter.values[i];
    const int32_t line = shorter.places[i], end = across.starts[line + 1];
    for (int32_t k = across.starts[line]; k < end && across.places[k] <= row; ++k) sums[across.places[k]] += value * across.values[k];
  }
}

}  // namespace

double gram_pairs(const torch::Tensor& indices, int64_t rows, int64_t columns) {
  const bool wide = rows <= columns;
  std::vector<int32_t> counts(wide ? columns : rows);
  const auto* at = indices.const_data_ptr<int32_t>();
  const auto divisor = static_cast<int32_t>(columns);
  for (int64_t i = 0; i < indices.numel(); ++i) ++counts[wide ? at[i] % divisor : at[i] / divisor];
  double pairs = 0;
  for (const double count : counts) pairs += count * count;
  return pairs;
}

torch::Tensor sparse_gram(const torch::Tensor& values, const torch::Tensor& indices, int64_t rows, int64_t columns) {
  SARA_CHECK(values.is_cpu() && values.is_contiguous() && values.scalar_type() == torch::kFloat && indices.scalar_type() == torch::kInt && indices.is_contiguous());
  const Rows by_row = rows_of(values.const_data_ptr<float>(), indices.const_data_ptr<int32_t>(), values.numel(), rows, columns), by_column = turned(by_row, columns);
  const bool wide = rows <= columns;
  const Rows &shorter = wide ? by_row : by_column, &across = wide ? by_column : by_row;
  const int64_t size = std::min(rows, columns);
  const torch::Tensor gram = torch::zeros({size, size}, torch::kFloat);
  float* const to = gram.data_ptr<float>();
  at::parallel_for(0, (size + 1) / 2, 1, [&](int64_t begin, int64_t end) {  // a short row with a long one
    for (int64_t row = begin; row < end; ++row) {
      add_row(to + row * size, shorter, across, row);
      if (const int64_t other = size - 1 - row; other != row) add_row(to + other * size, shorter, across, other);
    }
  });
  return gram + gram.tril(-1).t();
}

}  // namespace sara
