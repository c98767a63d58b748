// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/sampled_windows.h"

#include <ATen/record_function.h>

#include <algorithm>
#include <numeric>

#include "sara/ops/channel_sums.h"
#include "sara/ops/sampled_columns.h"
#include "sara/ops/sampled_tiles.h"

namespace sara {
namespace {

constexpr int64_t kLeastNumbers = 128;  // of a dot product; shorter ones spend their time on the sums
constexpr int64_t kRowsPerGap = 8;      // rows of a window to one that is laid out for its neighbours' sake

// Rows of every window but the last of a picture; whole registers, all of them. 0: there is no such cut.
int64_t window_rows(int64_t most, int64_t height, int64_t width, int64_t gap) {
  const int64_t step = kSampledLanes / std::gcd(width, kSampledLanes);
  if (height == 0 || height % step) return 0;
  const int64_t wanted = std::max<int64_t>({1, kRowsPerGap * gap, most / width}), windows = (height + wanted - 1) / wanted;
  const int64_t rows = (height + windows * step - 1) / (windows * step) * step;
  return rows * width >= kLeastNumbers ? rows : 0;
}

int64_t window_rows(at::ScalarType dtype, int64_t height, int64_t width, int64_t gap) {
  return window_rows(dtype == torch::kBFloat16 ? kDotsLength<uint16_t> : kDotsLength<float>, height, width, gap);
}

template <class T>
class Windows {
 public:
  Windows(const torch::Tensor& gradient, const torch::Tensor& input, const KernelLines& lines, float* sums)
      : gradient_(static_cast<const T*>(gradient.const_data_ptr())), input_(static_cast<const T*>(input.const_data_ptr())), batch_(gradient.size(0)), rows_(gradient.size(1)), height_(gradient.size(2)),
        width_(gradient.size(3)), channels_(input.size(1)), input_height_(input.size(2)), input_width_(input.size(3)), window_(window_rows(gradient.scalar_type(), height_, width_, lines.gap())),
        of_picture_((height_ + window_ - 1) / window_), lines_(lines), sums_(sums) {}

  int64_t pieces() const { return batch_ * of_picture_; }
  int64_t length(int64_t piece) const { return seen(piece).size() * width_; }
  int64_t line() const { return spaced_line((window_ + 2 * lines_.gap()) * width_, sizeof(T)); }
  const T* row(int64_t r, int64_t piece) const { return gradient_ + (piece / of_picture_ * rows_ + r) * row_stride() + seen(piece).begin * width_; }
  int64_t row_stride() const { return height_ * width_; }
  void add_sums(Range rows, int64_t piece) const {
    for (int64_t r = rows.begin; r < rows.end && sums_; ++r) sums_[piece / of_picture_ * rows_ + r] += sum_of_line(row(r, piece), length(piece));
  }
  void fill(T* to, int64_t channel, int64_t piece) const {
    for (int64_t kind = 0; kind < lines_.kinds(); ++kind) lines_.fill(to + kind * line(), picture(channel, piece), input_height_, input_width_, seen(piece), kind);
  }

 private:
  const T* picture(int64_t channel, int64_t piece) const { return input_ + (piece / of_picture_ * channels_ + channel) * input_height_ * input_width_; }
  Range seen(int64_t piece) const { return {piece % of_picture_ * window_, std::min(height_, (piece % of_picture_ + 1) * window_)}; }

  const T *gradient_, *input_;
  int64_t batch_, rows_, height_, width_, channels_, input_height_, input_width_, window_, of_picture_;
  KernelLines lines_;
  float* sums_;
};

}  // namespace

bool windows_pay(at::ScalarType dtype, int64_t height, int64_t width, const ConvolutionShape& shape) {
  return width > 0 && window_rows(dtype, height, width, KernelLines(shape, width).gap()) > 0;
}

void sampled_windows_add_(const torch::Tensor& out, const SampledPositions& positions, const torch::Tensor& gradient, const torch::Tensor& input,
                          const ConvolutionShape& shape, float* sums) {
  RECORD_FUNCTION("sara::sampled_windows", {});
  const KernelLines lines(shape, gradient.size(3));
  const auto add = [&]<class T>(SampledDots<T> dots) { add_by_columns(out.data_ptr<float>(), positions, input.size(1), shape, lines, Windows<T>(gradient, input, lines, sums), dots); };
  if (tiles_pay(gradient.scalar_type(), positions.indices.numel(), gradient.size(1), input.size(1), shape, gradient.size(2), gradient.size(3)))
    TileProducts(out.data_ptr<float>(), positions, input.size(1), shape, lines, Windows<uint16_t>(gradient, input, lines, sums)).add();
  else if (gradient.scalar_type() == torch::kBFloat16)
    add(sampled_dots_bf16());
  else
    add(sampled_dots_f32());
}

}  // namespace sara
