// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/sampled_pictures.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>

#include <algorithm>

#include "sara/ops/sampled_columns.h"

namespace sara {
namespace {

// Pictures lie one after the other in a line, their rows without a space between, each followed by a gap of rows of zeros, so that a neighbour
// above or below a picture is a zero. Neighbours to the left and right are another line.
template <class T>
class Pictures {
 public:
  Pictures(const torch::Tensor& gradient, const torch::Tensor& input, const KernelLines& lines)
      : input_(static_cast<const T*>(input.const_data_ptr())), batch_(gradient.size(0)), height_(gradient.size(2)), width_(gradient.size(3)), channels_(input.size(1)), input_height_(input.size(2)),
        input_width_(input.size(3)), together_(std::max<int64_t>(1, kDotsLength<T> / std::max<int64_t>(1, extent(lines)))), lines_(lines) {
    lay_gradient(gradient);
  }

  int64_t pieces() const { return (batch_ + together_ - 1) / together_; }
  int64_t length(int64_t piece) const { return rounded_to_lanes(pictures(piece).size() * extent(lines_)); }
  int64_t line() const { return spaced_line(rounded_to_lanes(together_ * extent(lines_)) + 2 * lines_.lead(), sizeof(T)); }
  const T* row(int64_t r, int64_t piece) const { return static_cast<const T*>(gradient_.const_data_ptr()) + (piece * gradient_.size(1) + r) * row_stride(); }
  int64_t row_stride() const { return gradient_.size(2); }
  void fill(T* to, int64_t channel, int64_t kind, int64_t piece) const {
    T* next = to;
    for (int64_t b = pictures(piece).begin; b < pictures(piece).end; ++b, next += extent(lines_))
      lines_.fill(next, input_ + (b * channels_ + channel) * input_height_ * input_width_, input_height_, input_width_, {0, height_}, kind);
    std::fill(next + lines_.lead(), to + line(), T{});
  }

 private:
  int64_t extent(const KernelLines& lines) const { return (height_ + lines.gap()) * width_; }  // of a picture
  Range pictures(int64_t piece) const { return {piece * together_, std::min(batch_, (piece + 1) * together_)}; }

  // [pieces, rows, line], each picture with its gap behind it.
  void lay_gradient(const torch::Tensor& gradient) {
    const int64_t rows = gradient.size(1), area = height_ * width_;
    gradient_ = torch::empty({pieces(), rows, spaced_line(rounded_to_lanes(together_ * extent(lines_)), sizeof(T))}, gradient.options());
    const T* const from = static_cast<const T*>(gradient.const_data_ptr());
    T* const to = static_cast<T*>(gradient_.data_ptr());
    at::parallel_for(0, pieces() * rows, 16, [&](int64_t begin, int64_t end) {
      for (int64_t unit = begin; unit < end; ++unit) {
        T* next = to + unit * row_stride();
        for (int64_t b = pictures(unit / rows).begin; b < pictures(unit / rows).end; ++b)
          next = std::fill_n(std::copy_n(from + (b * rows + unit % rows) * area, area, next), lines_.lead(), T{});
        std::fill(next, to + (unit + 1) * row_stride(), T{});
      }
    });
  }

  const T* input_;
  int64_t batch_, height_, width_, channels_, input_height_, input_width_, together_;
  KernelLines lines_;
  torch::Tensor gradient_;
};

}  // namespace

void sampled_pictures_add_(const torch::Tensor& out, const torch::Tensor& indices, const torch::Tensor& row_starts, const torch::Tensor& gradient, const torch::Tensor& input,
                           const ConvolutionShape& shape) {
  RECORD_FUNCTION("sara::sampled_pictures", {});
  const KernelLines lines(shape, gradient.size(3));
  const auto add = [&]<class T>(SampledDots<T> dots) { add_by_columns(out.data_ptr<float>(), indices, row_starts, input.size(1), shape, lines, Pictures<T>(gradient, input, lines), dots); };
  if (gradient.scalar_type() == torch::kBFloat16)
    add(sampled_dots_bf16());
  else
    add(sampled_dots_f32());
}

}  // namespace sara
