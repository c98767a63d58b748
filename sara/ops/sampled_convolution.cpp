// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/sampled_convolution.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>

#include <algorithm>

#include "sara/ops/kernel_lines.h"
#include "sara/ops/sampled_windows.h"

namespace sara {
namespace {

// How the planes of one channel lie in a line: pictures one after the other, their rows without a space between, each picture followed by `gap`
// rows of zeros, so that a neighbour above or below the picture is a zero. Neighbours to the left and right are another line.
struct Pictures {
  int64_t batch, height, width, gap;
  int64_t picture() const { return (height + gap) * width; }
  int64_t extent() const { return batch * picture(); }
};

// [C · kinds, line] of planes [B, C, ...]: write(to, picture, kind) for each picture of each line, then zeros.
template <class Write>
torch::Tensor lines_of(const torch::Tensor& planes, const Pictures& pictures, int64_t kinds, int64_t line, const Write& write) {
  const int64_t channels = planes.size(1), area = planes.size(2) * planes.size(3);
  const torch::Tensor out = torch::empty({channels * kinds, line}, planes.options());
  const auto fill = [&]<class T>(T* to, const T* from) {
    at::parallel_for(0, channels, 1, [&](int64_t first, int64_t last) {
      for (int64_t c = first; c < last; ++c)
        for (int64_t kind = 0; kind < kinds; ++kind) {
          T* next = to + (c * kinds + kind) * line;
          for (int64_t b = 0; b < pictures.batch; ++b) next = write(next, from + (b * channels + c) * area, kind);
          std::fill(next, to + (c * kinds + kind + 1) * line, T{});
        }
    });
  };
  if (planes.scalar_type() == torch::kBFloat16)
    fill(static_cast<uint16_t*>(out.data_ptr()), static_cast<const uint16_t*>(planes.const_data_ptr()));
  else
    fill(out.data_ptr<float>(), planes.const_data_ptr<float>());
  return out;
}

// Each picture of the gradient with its gap behind it.
torch::Tensor gradient_lines(const torch::Tensor& planes, const Pictures& pictures, int64_t line) {
  return lines_of(planes, pictures, 1, line, [&]<class T>(T* to, const T* picture, int64_t) {
    return std::fill_n(std::copy_n(picture, pictures.height * pictures.width, to), pictures.gap * pictures.width, T{});
  });
}

// The lines of the kernel's columns, each picture between the gap of the one before and its own.
torch::Tensor input_lines(const torch::Tensor& planes, const Pictures& pictures, const KernelLines& lines, int64_t line) {
  return lines_of(planes, pictures, lines.kinds(), line, [&](auto* to, const auto* picture, int64_t kind) {
    lines.fill(to, picture, planes.size(2), planes.size(3), {0, pictures.height}, kind);
    return to + pictures.picture();
  });
}

// Has the result a place for every row and number of the input?
bool fits(const torch::Tensor& gradient, const torch::Tensor& input, int64_t stride) {
  return (input.size(2) + stride - 1) / stride <= gradient.size(2) && (input.size(3) + stride - 1) / stride <= gradient.size(3);
}

}  // namespace

std::optional<SampledFactors> convolution_factors(const torch::Tensor& gradient, const torch::Tensor& input, const ConvolutionShape& shape) {
  RECORD_FUNCTION("sara::convolution_factors", {});
  if (!fits(gradient, input, shape.stride)) return std::nullopt;
  const KernelLines lines(shape, gradient.size(3));
  const Pictures pictures{gradient.size(0), gradient.size(2), gradient.size(3), lines.gap()};
  const auto dtype = sampled_dtype(input.scalar_type());
  const int64_t size = at::elementSize(dtype), length = rounded_to_lanes(pictures.extent()), line = spaced_line(length + 2 * lines.lead(), size);
  return SampledFactors{gradient_lines(gradient.to(dtype).contiguous(), pictures, spaced_line(length, size)), input_lines(input.to(dtype).contiguous(), pictures, lines, line),
                        lines.column_starts(input.size(1), line), length};
}

bool sampled_convolution_add_(const torch::Tensor& out, const torch::Tensor& indices, const torch::Tensor& row_starts, const torch::Tensor& gradient, const torch::Tensor& input,
                              const ConvolutionShape& shape) {
  if (!fits(gradient, input, shape.stride)) return false;
  const auto dtype = sampled_dtype(input.scalar_type());
  if (windows_pay(dtype, gradient.size(2), gradient.size(3), shape)) {
    sampled_windows_add_(out, indices, row_starts, gradient.to(dtype).contiguous(), input.to(dtype).contiguous(), shape);
    return true;
  }
  constexpr int64_t kBytes = 32 << 20;  // of the input's lines
  const int64_t batch = input.size(0), picture = std::max<int64_t>(1, input.numel() / std::max<int64_t>(1, batch) * shape.kernel * input.element_size());
  const int64_t together = std::max<int64_t>(1, kBytes / picture);
  for (int64_t first = 0; first < batch; first += together) {
    const int64_t count = std::min(together, batch - first);
    sampled_matmul_add_(out, indices, row_starts, *convolution_factors(gradient.narrow(0, first, count), input.narrow(0, first, count), shape));
  }
  return true;
}

}  // namespace sara
