// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/sampled_entries.h"

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

// How many of `columns` columns, held in order by `lines` lines, a core's second cache keeps at `line_bytes` of each line.
int64_t columns_together(int64_t columns, int64_t lines, int64_t line_bytes) {
  return std::max<int64_t>(1, cache_bytes() / std::max<int64_t>(1, line_bytes) * columns / std::max<int64_t>(1, lines));
}

}  // namespace

ColumnCut::ColumnCut(int64_t columns, int64_t lines, int64_t line_bytes, int64_t parts, int64_t step) : columns(columns) {
  const int64_t near = columns_together(columns, lines, line_bytes);
  blocks = (std::max<int64_t>(1, (columns + near - 1) / near) + parts - 1) / parts * parts;
  together = (columns + blocks * step - 1) / (blocks * step) * step;
}

SampledEntries::SampledEntries(const torch::Tensor& indices, const torch::Tensor& row_starts, const ColumnCut& cut)
    : positions_(indices), indices_(indices.const_data_ptr<int32_t>()), rows_(row_starts.numel() - 1), selected_(indices.numel()), cut_(cut) {
  SARA_CHECK(indices.scalar_type() == torch::kInt && indices.is_contiguous() && row_starts.scalar_type() == torch::kLong && row_starts.is_contiguous());
  firsts_.resize((blocks() + 1) * rows_);
  const auto* starts = row_starts.const_data_ptr<int64_t>();
  at::parallel_for(0, rows_, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      int64_t first = starts[row];
      for (int64_t block = 0; block < blocks(); ++block) {
        firsts_[block * rows_ + row] = static_cast<int32_t>(first);
        first = block + 1 == blocks() ? starts[row + 1] : first_at(row * cut_.columns + column(block + 1), first, starts[row + 1], blocks() - block);
      }
      firsts_[blocks() * rows_ + row] = static_cast<int32_t>(first);
    }
  });
  occupied_.resize(blocks());
  at::parallel_for(0, blocks(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block)
      for (int64_t row = 0; row < rows_; ++row)
        if (this->first(row, block) < this->first(row, block + 1)) occupied_[block].push_back(static_cast<int32_t>(row));
    for (int64_t block = begin; block < end; ++block) occupied_[block].shrink_to_fit();
  });
  constexpr int64_t kFewEntries = 2;  // a line on average; of fewer, more than an eighth of the lines has none
  if (selected_ < kFewEntries * rows_) {
    wanted_rows_.emplace(rows_);
    for (int64_t row = 0; row < rows_; ++row)
      if (starts[row] < starts[row + 1]) wanted_rows_->insert(row);
  }
  if (selected_ < kFewEntries * cut_.columns) {
    wanted_columns_.emplace(cut_.columns);
    for (int64_t row = 0; row < rows_; ++row)
      for (int64_t k = starts[row]; k < starts[row + 1]; ++k) wanted_columns_->insert(indices_[k] - row * cut_.columns);
  }
}

std::shared_ptr<const SampledEntries> SampledEntries::of(const SampledPositions& positions, const ColumnCut& cut) {
  const auto& [indices, row_starts, kept] = positions;
  if (kept && *kept && (*kept)->cut_ == cut && (*kept)->indices_ == indices.const_data_ptr<int32_t>() && (*kept)->selected_ == indices.numel() && (*kept)->rows_ == row_starts.numel() - 1) return *kept;
  auto made = std::make_shared<const SampledEntries>(indices, row_starts, cut);
  if (kept) *kept = made;
  return made;
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
  const int64_t row = std::lower_bound(firsts_.begin(), end, selected_ * part / parts) - firsts_.begin();
  return std::min(rows_, (row + step / 2) / step * step);
}

}  // namespace sara
