// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/sampled_convolution.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>

#include <algorithm>

#include "sara/ops/sampled_rows.h"

namespace sara {
namespace {

// How the planes of one channel lie in a line: pictures one after the other, their rows without a space between, each picture followed by `gap`
// rows of zeros, so that a neighbour above or below the picture is a zero. Neighbours to the left and right are another line.
struct Lines {
  int64_t batch, height, width, gap;
  int64_t picture() const { return (height + gap) * width; }
  int64_t extent() const { return batch * picture(); }
  int64_t lead() const { return gap * width; }  // zeros before the first picture
};

// [B, C, H, W] with H · W of `lines` -> [C, line], in the type of sampled_dtype().
torch::Tensor gradient_lines(const torch::Tensor& planes, const Lines& lines, int64_t line) {
  const int64_t channels = planes.size(1), area = lines.height * lines.width;
  const torch::Tensor out = torch::empty({channels, line}, planes.options());
  const auto fill = [&]<class T>(T* to, const T* from) {
    at::parallel_for(0, channels, 1, [&](int64_t first, int64_t last) {
      for (int64_t c = first; c < last; ++c) {
        T* next = to + c * line;
        for (int64_t b = 0; b < lines.batch; ++b) {
          next = std::copy_n(from + (b * channels + c) * area, area, next);
          next = std::fill_n(next, lines.lead(), T{});
        }
        std::fill(next, to + (c + 1) * line, T{});
      }
    });
  };
  if (planes.scalar_type() == torch::kBFloat16)
    fill(static_cast<uint16_t*>(out.data_ptr()), static_cast<const uint16_t*>(planes.const_data_ptr()));
  else
    fill(out.data_ptr<float>(), planes.const_data_ptr<float>());
  return out;
}

// to[w] = row[w · stride + shift] for w < width, zero where that lies outside its `count` numbers.
template <class T>
void shifted_row(T* to, const T* row, int64_t count, int64_t width, int64_t stride, int64_t shift) {
  const int64_t begin = std::clamp<int64_t>((-shift + stride - 1) / stride, 0, width), end = std::clamp<int64_t>((count - shift + stride - 1) / stride, begin, width);
  std::fill(to, to + begin, T{});
  if (stride == 1)
    std::copy(row + begin + shift, row + end + shift, to + begin);
  else
    for (int64_t w = begin; w < end; ++w) to[w] = row[w * stride + shift];
  std::fill(to + end, to + width, T{});
}

// The same for all rows of a picture at once, where they are as wide as `to`'s: to[h, w] = picture[h, w + shift].
template <class T>
void shifted_picture(T* to, const T* picture, int64_t height, int64_t width, int64_t shift) {
  const int64_t area = height * width, left = std::clamp<int64_t>(-shift, 0, width), right = std::clamp<int64_t>(shift, 0, width);  // zeros of a row
  std::copy(picture + right, picture + std::max(right, area - left), to + left);
  for (int64_t h = 0; h < height; ++h) {
    std::fill_n(to + h * width, left, T{});
    std::fill_n(to + (h + 1) * width - right, right, T{});
  }
}

// What the kernel's columns see of each row, [B, C, H', W'] -> [C · kernel · stride, line]: line (c, kw, phase) has every stride-th row from
// `phase` on, of it the numbers that column kw meets.
torch::Tensor input_lines(const torch::Tensor& planes, const Lines& lines, const ConvolutionShape& shape, int64_t line) {
  const int64_t channels = planes.size(1), height = planes.size(2), width = planes.size(3), stride = shape.stride, kinds = shape.kernel * stride;
  const torch::Tensor out = torch::empty({channels * kinds, line}, planes.options());
  const auto fill = [&]<class T>(T* to, const T* from) {
    at::parallel_for(0, channels, 1, [&](int64_t first, int64_t last) {
      for (int64_t c = first; c < last; ++c)
        for (int64_t kind = 0; kind < kinds; ++kind) {
          const int64_t shift = kind / stride - shape.padding, phase = kind % stride, rows = height > phase ? (height - phase + stride - 1) / stride : 0;
          T* const begin = to + (c * kinds + kind) * line;
          T* next = std::fill_n(begin, lines.lead(), T{});
          for (int64_t b = 0; b < lines.batch; ++b) {
            const T* const picture = from + (b * channels + c) * height * width;
            if (stride == 1 && width == lines.width)
              shifted_picture(next, picture, rows, width, shift);
            else
              for (int64_t h = 0; h < rows; ++h) shifted_row(next + h * lines.width, picture + (h * stride + phase) * width, width, lines.width, stride, shift);
            next += rows * lines.width;
            next = std::fill_n(next, (lines.height - rows) * lines.width + lines.lead(), T{});
          }
          std::fill(next, begin + line, T{});
        }
    });
  };
  if (planes.scalar_type() == torch::kBFloat16)
    fill(static_cast<uint16_t*>(out.data_ptr()), static_cast<const uint16_t*>(planes.const_data_ptr()));
  else
    fill(out.data_ptr<float>(), planes.const_data_ptr<float>());
  return out;
}

}  // namespace

std::optional<SampledFactors> convolution_factors(const torch::Tensor& gradient, const torch::Tensor& input, const ConvolutionShape& shape) {
  RECORD_FUNCTION("sara::convolution_factors", {});
  const int64_t stride = shape.stride, channels = input.size(1);
  const auto divided_down = [stride](int64_t value) { return value >= 0 ? value / stride : -((stride - 1 - value) / stride); };
  const int64_t lowest = divided_down(-shape.padding), highest = divided_down(shape.kernel - 1 - shape.padding);
  const Lines lines{gradient.size(0), gradient.size(2), gradient.size(3), std::max(-lowest, highest)};
  if ((input.size(2) + stride - 1) / stride > lines.height || (input.size(3) + stride - 1) / stride > lines.width) return std::nullopt;

  const auto dtype = sampled_dtype(input.scalar_type());
  const int64_t size = at::elementSize(dtype), length = rounded_to_lanes(lines.extent()), line = spaced_line(length + 2 * lines.lead(), size);
  SampledFactors factors{gradient_lines(gradient.to(dtype).contiguous(), lines, spaced_line(length, size)), input_lines(input.to(dtype).contiguous(), lines, shape, line), {}, length};
  factors.column_starts.reserve(channels * shape.kernel * shape.kernel);
  for (int64_t c = 0; c < channels; ++c) {
    for (int64_t kh = 0; kh < shape.kernel; ++kh) {
      const int64_t row = divided_down(kh - shape.padding), phase = kh - shape.padding - row * stride;
      for (int64_t kw = 0; kw < shape.kernel; ++kw)
        factors.column_starts.push_back(((c * shape.kernel + kw) * stride + phase) * line + lines.lead() + row * lines.width);
    }
  }
  return factors;
}

bool sampled_convolution_add_(const torch::Tensor& out, const torch::Tensor& indices, const torch::Tensor& row_starts, const torch::Tensor& gradient, const torch::Tensor& input,
                              const ConvolutionShape& shape) {
  constexpr int64_t kBytes = 32 << 20;  // of the input's lines
  const int64_t batch = input.size(0), picture = std::max<int64_t>(1, input.numel() / std::max<int64_t>(1, batch) * shape.kernel * input.element_size());
  const int64_t together = std::max<int64_t>(1, kBytes / picture);
  for (int64_t first = 0; first < batch; first += together) {
    const int64_t count = std::min(together, batch - first);
    const auto factors = convolution_factors(gradient.narrow(0, first, count), input.narrow(0, first, count), shape);
    if (!factors) return false;
    sampled_matmul_add_(out, indices, row_starts, *factors);
  }
  return true;
}

}  // namespace sara
