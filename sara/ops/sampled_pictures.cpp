// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/sampled_pictures.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <type_traits>
#include <vector>

#include "sara/ops/channel_sums.h"
#include "sara/ops/sampled_columns.h"
#include "sara/ops/sampled_tiles.h"
#include "sara/ops/vectorized.h"

namespace sara {
namespace {

constexpr int64_t kMargin = kSampledLanes;  // of zeros around a line

template <class T>
using Wide = std::conditional_t<sizeof(T) == 2, int16_t, int32_t>;

template <class T>
SARA_INLINE void keep(T* to, const T* from, const Wide<T>* seen, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) to[i] = seen[i] ? from[i] : T{};
}
SARA_VECTORIZED void keep_seen(float* to, const float* from, const int32_t* seen, int64_t count) { keep(to, from, seen, count); }
SARA_VECTORIZED void keep_seen(uint16_t* to, const uint16_t* from, const int16_t* seen, int64_t count) { keep(to, from, seen, count); }

// Pictures lie one after the other in a line, their rows without a space between, each followed by a gap of rows of zeros, so that a neighbour
// above or below a picture is a zero. Neighbours to the left and right are another line.
template <class T>
class Pictures {
 public:
  Pictures(const torch::Tensor& gradient, const torch::Tensor& input, const ConvolutionShape& shape, const KernelLines& lines, float* sums)
      : input_(static_cast<const T*>(input.const_data_ptr())), batch_(gradient.size(0)), height_(gradient.size(2)), width_(gradient.size(3)), channels_(input.size(1)), input_height_(input.size(2)),
        input_width_(input.size(3)), together_(std::clamp<int64_t>(kDotsLength<T> / std::max<int64_t>(1, extent(lines)), 1, std::max<int64_t>(1, batch_))), lines_(lines) {
    lay_gradient(gradient, sums);
    if (is_shifted(shape)) mark_seen();
  }

  int64_t pieces() const { return (batch_ + together_ - 1) / together_; }
  int64_t length(int64_t piece) const { return rounded_to_lanes(pictures(piece).size() * extent(lines_)); }
  int64_t line() const { return spaced_line(rounded_to_lanes(together_ * extent(lines_)) + 2 * lines_.lead(), sizeof(T)); }
  const T* row(int64_t r, int64_t piece) const { return static_cast<const T*>(gradient_.const_data_ptr()) + (piece * gradient_.size(1) + r) * row_stride(); }
  int64_t row_stride() const { return gradient_.size(2); }
  void add_sums(Range, int64_t) const {}  // they are made where the gradient is laid out
  void fill(T* to, int64_t channel, int64_t piece) const {
    if (!seen_.empty()) return fill_shifted(to, channel, piece);
    for (int64_t kind = 0; kind < lines_.kinds(); ++kind, to += line()) {
      T* next = to;
      for (int64_t b = pictures(piece).begin; b < pictures(piece).end; ++b, next += extent(lines_)) lines_.fill(next, picture(b, channel), input_height_, input_width_, {0, height_}, kind);
      std::fill(next + lines_.lead(), to + line(), T{});
    }
  }

 private:
  const T* picture(int64_t b, int64_t channel) const { return input_ + (b * channels_ + channel) * input_height_ * input_width_; }
  int64_t extent(const KernelLines& lines) const { return (height_ + lines.gap()) * width_; }  // of a picture
  Range pictures(int64_t piece) const { return {piece * together_, std::min(batch_, (piece + 1) * together_)}; }

  // Is the result as large as the input? Then a column's line is that of the middle one, shifted, but for what it would see of the next row.
  bool is_shifted(const ConvolutionShape& shape) const { return shape.stride == 1 && input_width_ == width_ && input_height_ == height_ && shape.padding <= kMargin; }

  void mark_seen() {
    seen_.assign(lines_.kinds() * line(), 0);
    for (int64_t kind = 0; kind < lines_.kinds(); ++kind)
      for (int64_t i = 0; i < line(); ++i) {
        const int64_t w = i % width_ + lines_.shift(kind);
        seen_[kind * line() + i] = w >= 0 && w < width_;
      }
  }

  void fill_shifted(T* to, int64_t channel, int64_t piece) const {
    thread_local std::vector<T> middle;
    middle.assign(line() + 2 * kMargin, T{});
    T* next = middle.data() + kMargin + lines_.lead();
    for (int64_t b = pictures(piece).begin; b < pictures(piece).end; ++b, next += extent(lines_)) std::copy_n(picture(b, channel), height_ * width_, next);
    for (int64_t kind = 0; kind < lines_.kinds(); ++kind) keep_seen(to + kind * line(), middle.data() + kMargin + lines_.shift(kind), seen_.data() + kind * line(), line());
  }

  // [pieces, rows, line], each picture with its gap behind it.
  void lay_gradient(const torch::Tensor& gradient, float* sums) {
    const int64_t rows = gradient.size(1), area = height_ * width_;
    gradient_ = torch::empty({pieces(), rows, spaced_line(rounded_to_lanes(together_ * extent(lines_)), sizeof(T))}, gradient.options());
    const T* const from = static_cast<const T*>(gradient.const_data_ptr());
    T* const to = static_cast<T*>(gradient_.data_ptr());
    at::parallel_for(0, pieces() * rows, 16, [&](int64_t begin, int64_t end) {
      for (int64_t unit = begin; unit < end; ++unit) {
        T* next = to + unit * row_stride();
        for (int64_t b = pictures(unit / rows).begin; b < pictures(unit / rows).end; ++b) {
          const int64_t plane = b * rows + unit % rows;
          if (sums) sums[plane] += sum_of_line(from + plane * area, area);
          next = std::fill_n(std::copy_n(from + plane * area, area, next), lines_.lead(), T{});
        }
        std::fill(next, to + (unit + 1) * row_stride(), T{});
      }
    });
  }

  const T* input_;
  int64_t batch_, height_, width_, channels_, input_height_, input_width_, together_;
  KernelLines lines_;
  torch::Tensor gradient_;
  std::vector<Wide<T>> seen_;  // [kinds, line]: not a number of another row; empty where lines are not shifted ones
};

}  // namespace

void sampled_pictures_add_(const torch::Tensor& out, const SampledPositions& positions, const torch::Tensor& gradient, const torch::Tensor& input,
                           const ConvolutionShape& shape, float* sums) {
  RECORD_FUNCTION("sara::sampled_pictures", {});
  const KernelLines lines(shape, gradient.size(3));
  const auto add = [&]<class T>(SampledDots<T> dots) { add_by_columns(out.data_ptr<float>(), positions, input.size(1), shape, lines, Pictures<T>(gradient, input, shape, lines, sums), dots); };
  if (tiles_pay(gradient.scalar_type(), positions.indices.numel(), gradient.size(1), input.size(1), shape, gradient.size(2), gradient.size(3)))
    TileProducts(out.data_ptr<float>(), positions, input.size(1), shape, lines, Pictures<uint16_t>(gradient, input, shape, lines, sums)).add();
  else if (gradient.scalar_type() == torch::kBFloat16)
    add(sampled_dots_bf16());
  else
    add(sampled_dots_f32());
}

}  // namespace sara
