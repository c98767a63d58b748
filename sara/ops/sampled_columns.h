// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "sara/ops/kernel_lines.h"
#include "sara/ops/sampled_rows.h"
#include "sara/ops/units.h"

namespace sara {

// Adds a convolution's weight gradient at selected entries to `out`. Each thread makes the input's lines that it reads, of as many channels
// as stay in a core's second cache, while all rows of the gradient pass: to read lines that another core has just written takes longer. `Lines`
// cuts the sum over pictures and positions into pieces, each a dot product of neighbouring numbers for every entry:
//   pieces(), length(piece)                a multiple of kSampledLanes numbers
//   row(r, piece), row_stride()            where the gradient of output channel r begins
//   add_sums(rows, piece)                  adds the gradient's sums, if they are wanted; once for every row and piece
//   fill(to, channel, piece)               writes the input lines of a channel (kernel_lines.h), line() numbers apart, all that its columns meet
template <class T, class Lines>
void add_by_columns(float* out, const SampledPositions& positions, int64_t channels, const ConvolutionShape& shape, const KernelLines& kernel_lines, const Lines& lines,
                    SampledDots<T> dots) {
  constexpr int64_t kMostColumnParts = 4;  // more threads than that share out the rows too
  constexpr int64_t kLongLine = 4;         // times what the cache holds; of longer lines fewer are made together
  const int64_t kernel = shape.kernel * shape.kernel, kinds = kernel_lines.kinds(), line = lines.line();
  const int64_t threads = at::get_num_threads(), column_parts = std::min(threads, kMostColumnParts), row_parts = threads / column_parts;
  const int64_t near = std::max(std::min(line, kDotsLength<T> + 2 * kernel_lines.lead()), line / kLongLine);  // numbers of a line that pass together
  const std::shared_ptr<const SampledEntries> kept = SampledEntries::of(positions, {channels * kernel, channels * kinds, near * static_cast<int64_t>(sizeof(T)), column_parts, kernel});
  const SampledEntries& entries = *kept;
  const int64_t together = entries.column(1) / kernel;  // channels of a block
  const std::vector<int64_t> column_starts = kernel_lines.column_starts(together, line);
  const torch::Tensor memory = torch::empty({unit_workers(entries.blocks() * row_parts), together * kinds * line * static_cast<int64_t>(sizeof(T))}, torch::kByte);

  const auto add = [&](T* laid, Range rows, int64_t block) {
    const Range mine{entries.column(block) / kernel, entries.column(block + 1) / kernel};
    for (int64_t piece = 0; piece < lines.pieces(); ++piece) {
      if (block == 0) lines.add_sums(rows, piece);
      for (int64_t c = mine.begin; c < mine.end; ++c) lines.fill(laid + (c - mine.begin) * kinds * line, c, piece);
      add_rows(out, entries, rows, {block, block + 1}, lines.row(rows.begin, piece), lines.row_stride(), laid, column_starts.data(), lines.length(piece), dots, mine.begin * kernel);
    }
  };
  take_units(entries.blocks() * row_parts, [&](int64_t worker, int64_t unit) {
    const int64_t block = unit / row_parts, row_part = unit % row_parts;
    const Range rows{entries.first_row(row_part, row_parts), entries.first_row(row_part + 1, row_parts)};
    if (rows.size() && entries.column(block) < entries.column(block + 1)) add(reinterpret_cast<T*>(memory.data_ptr<uint8_t>() + worker * memory.size(1)), rows, block);
  });
}

}  // namespace sara
