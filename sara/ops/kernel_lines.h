// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "sara/ops/sampled_convolution.h"
#include "sara/ops/sampled_entries.h"

namespace sara {

// What the columns of a convolution's kernel see of a channel, as lines of neighbouring numbers: line (kw, phase) has every stride-th row of
// the channel from `phase` on, of it the numbers that column kw meets, one for each of a result's `width`. Rows and numbers beside the
// picture are zeros; a line for some rows of the result has `gap` more rows on either side, which the kernel's other rows meet.
class KernelLines {
 public:
  KernelLines(const ConvolutionShape& shape, int64_t width)
      : shape_(shape), width_(width), gap_(std::max(-divided_down(-shape.padding), divided_down(shape.kernel - 1 - shape.padding))) {}

  int64_t kinds() const { return shape_.kernel * shape_.stride; }
  int64_t gap() const { return gap_; }
  int64_t lead() const { return gap_ * width_; }  // numbers of a gap

  // Where the numbers of each of the weight's columns begin: those of channel c in lines c · kinds() to (c + 1) · kinds(), `line` numbers apart.
  std::vector<int64_t> column_starts(int64_t channels, int64_t line) const {
    const int64_t columns = shape_.kernel * shape_.kernel;
    std::vector<int64_t> starts(channels * columns);
    for (int64_t kh = 0; kh < shape_.kernel; ++kh) {
      const int64_t row = divided_down(kh - shape_.padding), phase = kh - shape_.padding - row * shape_.stride;
      for (int64_t kw = 0; kw < shape_.kernel; ++kw) {
        const int64_t first = (kw * shape_.stride + phase) * line + lead() + row * width_;
        for (int64_t c = 0; c < channels; ++c) starts[c * columns + kh * shape_.kernel + kw] = first + c * kinds() * line;
      }
    }
    return starts;
  }

  // What column kw of a line sees: its number w meets number w · stride + shift of the channel.
  int64_t shift(int64_t kind) const { return kind / shape_.stride - shape_.padding; }

  // Writes line `kind` of a channel [height, width] for some rows of the result: (rows.size() + 2 · gap()) · width numbers.
  template <class T>
  void fill(T* to, const T* channel, int64_t height, int64_t width, Range rows, int64_t kind) const {
    const int64_t stride = shape_.stride, shift = this->shift(kind), phase = kind % stride;
    const int64_t given = height > phase ? (height - phase + stride - 1) / stride : 0;
    const Range all{rows.begin - gap_, rows.end + gap_}, there{std::clamp<int64_t>(all.begin, 0, given), std::clamp<int64_t>(all.end, 0, given)};
    T* next = std::fill_n(to, (there.begin - all.begin) * width_, T{});
    if (stride == 1 && width == width_) {
      shifted_rows(next, channel + there.begin * width, there.size(), shift);
      next += there.size() * width_;
    } else {
      for (int64_t row = there.begin; row < there.end; ++row, next += width_) shifted_row(next, channel + (row * stride + phase) * width, width, shift);
    }
    std::fill(next, to + all.size() * width_, T{});
  }

 private:
  ConvolutionShape shape_;
  int64_t width_, gap_;

  int64_t divided_down(int64_t value) const { return value >= 0 ? value / shape_.stride : -((shape_.stride - 1 - value) / shape_.stride); }

  // to[w] = row[w · stride + shift], zero where that lies outside its `count` numbers.
  template <class T>
  void shifted_row(T* to, const T* row, int64_t count, int64_t shift) const {
    const int64_t stride = shape_.stride;
    const int64_t begin = std::clamp<int64_t>((-shift + stride - 1) / stride, 0, width_), end = std::clamp<int64_t>((count - shift + stride - 1) / stride, begin, width_);
    std::fill(to, to + begin, T{});
    if (stride == 1)
      std::copy(row + begin + shift, row + end + shift, to + begin);
    else
      for (int64_t w = begin; w < end; ++w) to[w] = row[w * stride + shift];
    std::fill(to + end, to + width_, T{});
  }

  // The same for rows as wide as `to`'s, all at once.
  template <class T>
  void shifted_rows(T* to, const T* rows, int64_t count, int64_t shift) const {
    if (count <= 0) return;
    const int64_t area = count * width_, left = std::clamp<int64_t>(-shift, 0, width_), right = std::clamp<int64_t>(shift, 0, width_);  // zeros of a row
    std::copy(rows + right, rows + std::max(right, area - left), to + left);
    const auto clear = [&](int64_t column) {
      for (int64_t h = 0; h < count; ++h) to[h * width_ + column] = T{};
    };
    for (int64_t column = 0; column < left; ++column) clear(column);
    for (int64_t column = width_ - right; column < width_; ++column) clear(column);
  }
};

}  // namespace sara
