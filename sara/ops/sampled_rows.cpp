// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/sampled_rows.h"

#include <ATen/Parallel.h>
#include <unistd.h>

#include <algorithm>

#include "sara/base/error.h"

namespace sara {
namespace {

// Of the right factor, kept near while all rows pass: half of a core's second cache.
int64_t cache_bytes() {
  static const int64_t bytes = [] {
#if defined(_SC_LEVEL2_CACHE_SIZE)
    const int64_t cache = sysconf(_SC_LEVEL2_CACHE_SIZE);
#else
    const int64_t cache = 0;
#endif
    return cache > 0 ? cache / 2 : int64_t{1} << 19;
  }();
  return bytes;
}

}  // namespace

int64_t columns_together(int64_t columns, int64_t lines, int64_t line_bytes) {
  return std::max<int64_t>(1, cache_bytes() / std::max<int64_t>(1, line_bytes) * columns / std::max<int64_t>(1, lines));
}

SampledEntries::SampledEntries(const torch::Tensor& indices, const torch::Tensor& row_starts, int64_t columns, int64_t lines, int64_t line_bytes, int64_t parts, int64_t step)
    : indices_(indices.const_data_ptr<int32_t>()), rows_(row_starts.numel() - 1), columns_(columns) {
  SARA_CHECK(indices.scalar_type() == torch::kInt && indices.is_contiguous() && row_starts.scalar_type() == torch::kLong && row_starts.is_contiguous());
  const int64_t together = columns_together(columns, lines, line_bytes);
  blocks_ = (std::max<int64_t>(1, (columns + together - 1) / together) + parts - 1) / parts * parts;
  together_ = (columns + blocks_ * step - 1) / (blocks_ * step) * step;
  firsts_.resize((blocks_ + 1) * rows_);
  const auto* starts = row_starts.const_data_ptr<int64_t>();
  at::parallel_for(0, rows_, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      int64_t first = starts[row];
      for (int64_t block = 0; block < blocks_; ++block) {
        firsts_[block * rows_ + row] = first;
        first = block + 1 == blocks_ ? starts[row + 1] : first_at(row * columns_ + column(block + 1), first, starts[row + 1], blocks_ - block);
      }
      firsts_[blocks_ * rows_ + row] = first;
    }
  });
  occupied_.resize(blocks_);
  at::parallel_for(0, blocks_, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block)
      for (int64_t row = 0; row < rows_; ++row)
        if (this->first(row, block) < this->first(row, block + 1)) occupied_[block].push_back(static_cast<int32_t>(row));
  });
}

int64_t SampledEntries::first_at(int64_t position, int64_t first, int64_t end, int64_t blocks) const {
  int64_t place = first + (end - first) / blocks;
  while (place > first && indices_[place - 1] >= position) --place;
  while (place < end && indices_[place] < position) ++place;
  return place;
}

std::span<const int32_t> SampledEntries::rows_of(int64_t block, Range rows) const {
  const std::vector<int32_t>& all = occupied_[block];
  const auto place = [&](int64_t row) { return std::lower_bound(all.begin(), all.end(), row); };
  return {place(rows.begin), place(rows.end)};
}

int64_t SampledEntries::first_row(int64_t part, int64_t parts, int64_t step) const {
  if (part == parts) return rows_;
  const auto end = firsts_.begin() + rows_;
  const int64_t selected = rows_ ? firsts_.back() : 0;
  const int64_t row = std::lower_bound(firsts_.begin(), end, selected * part / parts) - firsts_.begin();
  return std::min(rows_, (row + step / 2) / step * step);
}

}  // namespace sara
