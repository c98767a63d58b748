// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "sara/ops/kernel_lines.h"
#include "sara/ops/matrix_tiles.h"
#include "sara/ops/processor.h"
#include "sara/ops/sampled_rows.h"
#include "sara/ops/units.h"

namespace sara {

// From this density on whole blocks of products in tiles, of which most are not wanted, take less time than single ones: drawn by lot, call by call, within one
// run of steps, 0.62 to 0.92 of it at 7 to 10 % on pictures of 4 x 4 to 16 x 16, 1.01 and 1.05 at 5 %; 1.13 and 1.39 at 5 and 6 % on 32 x 32. A kernel of one column
// has no others to share what is laid out for it.
constexpr double kTileDensity = 0.05, kTileDensityOfLarge = 0.08, kTileDensityOfOne = 0.13;

// Are tiles the faster way to `entries` entries of a convolution's weight, for results of height x width? They take neighbours in pairs, which rows of odd width
// would part.
inline bool tiles_pay(at::ScalarType dtype, int64_t entries, int64_t rows, int64_t channels, const ConvolutionShape& shape, int64_t height, int64_t width) {
  constexpr int64_t kLarge = 1024;  // positions
  const double least = shape.kernel == 1 ? kTileDensityOfOne : height * width < kLarge ? kTileDensity : kTileDensityOfLarge;
  return dtype == torch::kBFloat16 && has_tiles() && width % 2 == 0 && rows >= kTileBlock && channels >= kTileBlock &&
         double(entries) >= least * double(rows * channels * shape.kernel * shape.kernel);
}

// What add_by_columns() (sampled_columns.h) does, of bf16 numbers and in tiles: all entries of 32 rows and 32 channels are computed into a block that stays in the
// first cache, and those wanted are taken from it. The channels' lines are laid out in panels of sixteen, as many as stay in the second cache while all rows pass.
template <class Lines>
class TileProducts {
 public:
  TileProducts(float* out, const SampledPositions& positions, int64_t channels, const ConvolutionShape& shape, const KernelLines& kernel_lines, const Lines& lines)
      : lines_(lines), out_(out), kernel_(shape.kernel * shape.kernel), kinds_(kernel_lines.kinds()), line_(lines.line()), columns_(channels * kernel_),
        column_parts_(std::min<int64_t>(at::get_num_threads(), kMostColumnParts)), row_parts_(at::get_num_threads() / column_parts_),
        entries_(SampledEntries::of(positions, {columns_, channels * kinds_, line_ * static_cast<int64_t>(sizeof(uint16_t)), column_parts_, kTileBlock * kernel_})), panel_(line_ / 2 * kTileSide),
        starts_(kernel_lines.column_starts(1, line_)), places_(kTileBlock * kernel_) {
    for (int64_t column = 0; column < kTileBlock * kernel_; ++column) places_[column] = static_cast<int32_t>(column % kernel_ * kTileBlock * kTileBlock + column / kernel_);
  }

  void add() const {
    const int64_t groups = (entries_->column(1) / kernel_ + kTileSide - 1) / kTileSide, units = entries_->blocks() * row_parts_;
    const int64_t panels = groups * kinds_ * panel_ * sizeof(uint32_t), lines = kTileSide * kinds_ * line_ * sizeof(uint16_t), rows = kTileBlock * line_ * sizeof(uint16_t);
    const torch::Tensor memory = torch::empty({unit_workers(units), panels + lines + rows + kernel_ * kTileBlock * kTileBlock * static_cast<int64_t>(sizeof(float))}, torch::kByte);
    take_units(units, [&](int64_t worker, int64_t unit) {
      const int64_t block = unit / row_parts_, part = unit % row_parts_;
      const Range some_rows{entries_->first_row(part, row_parts_), entries_->first_row(part + 1, row_parts_)};
      const Range channels{entries_->column(block) / kernel_, entries_->column(block + 1) / kernel_};
      if (some_rows.size() == 0 || channels.size() == 0) return;
      uint8_t* const begin = memory.data_ptr<uint8_t>() + worker * memory.size(1);
      add(block, some_rows, channels, Memory{reinterpret_cast<uint32_t*>(begin), reinterpret_cast<uint16_t*>(begin + panels), reinterpret_cast<uint16_t*>(begin + panels + lines),
                                             reinterpret_cast<float*>(begin + panels + lines + rows)});
    });
  }

 private:
  static constexpr int64_t kMostColumnParts = 4;  // more threads than that share out the rows too

  struct Memory {
    uint32_t* panels;  // [groups, kinds, panel_]
    uint16_t *lines, *rows;
    float* sums;  // [kernel_, kTileBlock, kTileBlock]
  };

  void add(int64_t block, Range rows, Range channels, const Memory& memory) const {
    const TileRegisters registers;
    for (int64_t piece = 0; piece < lines_.pieces(); ++piece) {
      if (block == 0) lines_.add_sums(rows, piece);
      lay_panels(memory, channels, piece);
      for (int64_t row = rows.begin; row < rows.end; row += kTileBlock) add(block, {row, std::min(rows.end, row + kTileBlock)}, channels, piece, memory);
    }
  }

  void lay_panels(const Memory& memory, Range channels, int64_t piece) const {
    uint32_t* panel = memory.panels;
    for (int64_t c = channels.begin; c < channels.end; c += kTileSide) {
      const int64_t count = std::min(kTileSide, channels.end - c);
      for (int64_t i = 0; i < count; ++i) lines_.fill(memory.lines + i * kinds_ * line_, c + i, piece);
      for (int64_t kind = 0; kind < kinds_; ++kind, panel += panel_) lay_tile_columns(panel, memory.lines + kind * line_, kinds_ * line_, count, line_);
    }
  }

  // Of at most kTileBlock rows.
  void add(int64_t block, Range rows, Range channels, int64_t piece, const Memory& memory) const {
    lay_tile_rows(memory.rows, lines_.row(rows.begin, piece), lines_.row_stride(), rows.size(), lines_.length(piece));
    int64_t next[kTileBlock];  // the first of each row's entries that is not done
    for (int64_t r = 0; r < rows.size(); ++r) next[r] = entries_->first(rows.begin + r, block);
    for (int64_t c = channels.begin; c < channels.end; c += kTileBlock) {
      const int64_t end = std::min(channels.end, c + kTileBlock);
      const uint32_t* const panels = memory.panels + (c - channels.begin) / kTileSide * kinds_ * panel_;
      for (int64_t k = 0; k < kernel_; ++k) {
        const uint32_t* const left = panels + starts_[k] / line_ * panel_ + starts_[k] % line_ / 2 * kTileSide;
        block_product(memory.sums + k * kTileBlock * kTileBlock, memory.rows, left, c + kTileSide < end ? left + kinds_ * panel_ : nullptr, lines_.length(piece));
      }
      for (int64_t r = 0; r < rows.size(); ++r) {
        const int64_t first = (rows.begin + r) * columns_ + c * kernel_, count = entries_->first(rows.begin + r, block + 1) - next[r];
        next[r] += add_wanted(out_ + next[r], entries_->indices() + next[r], count, static_cast<int32_t>(first), static_cast<int32_t>((end - c) * kernel_), places_.data(),
                              memory.sums + r * kTileBlock);
      }
    }
  }

  const Lines& lines_;
  float* out_;
  int64_t kernel_, kinds_, line_, columns_, column_parts_, row_parts_;
  std::shared_ptr<const SampledEntries> entries_;
  int64_t panel_;                // words of sixteen lines
  std::vector<int64_t> starts_;  // of the kernel's columns in a channel's lines
  std::vector<int32_t> places_;  // of the columns of kTileBlock channels in the sums of the first row
};

}  // namespace sara
