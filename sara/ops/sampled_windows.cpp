// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/sampled_windows.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <numeric>

#include "sara/base/error.h"
#include "sara/ops/kernel_lines.h"
#include "sara/ops/sampled_rows.h"

namespace sara {
namespace {

constexpr int64_t kLeastNumbers = 128;  // of a dot product; shorter ones spend their time on the sums
constexpr int64_t kRowsPerGap = 8;      // rows of a window to one that is laid out for its neighbours' sake
constexpr int64_t kColumnParts = 4;     // more threads than that share out the rows too

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
void add_windows(float* out, const torch::Tensor& indices, const torch::Tensor& row_starts, const torch::Tensor& gradient, const torch::Tensor& input, const ConvolutionShape& shape,
                 SampledDots<T> dots) {
  const int64_t rows = gradient.size(1), height = gradient.size(2), width = gradient.size(3), area = height * width;
  const int64_t channels = input.size(1), input_area = input.size(2) * input.size(3), kernel = shape.kernel * shape.kernel;
  const KernelLines lines(shape, width);
  const int64_t window = window_rows(gradient.scalar_type(), height, width, lines.gap()), line = spaced_line((window + 2 * lines.gap()) * width, sizeof(T));
  const int64_t parts = at::get_num_threads(), column_parts = std::min(parts, kColumnParts), row_parts = parts / column_parts;
  const SampledEntries entries(indices, row_starts, channels * kernel, channels * lines.kinds(), line * sizeof(T), column_parts, kernel);
  const int64_t together = entries.column(1) / kernel;  // channels of a block
  const std::vector<int64_t> column_starts = lines.column_starts(together, line);
  const torch::Tensor memory = torch::empty({column_parts * row_parts, together * lines.kinds() * line}, gradient.options());
  const T *const left = static_cast<const T*>(gradient.const_data_ptr()), *const right = static_cast<const T*>(input.const_data_ptr());

  const auto add = [&](T* laid, Range of_rows, int64_t block) {
    const Range mine{entries.column(block) / kernel, entries.column(block + 1) / kernel};
    for (int64_t picture = 0; picture < gradient.size(0); ++picture)
      for (int64_t first = 0; first < height; first += window) {
        const Range seen{first, std::min(height, first + window)};
        for (int64_t c = mine.begin; c < mine.end; ++c)
          for (int64_t kind = 0; kind < lines.kinds(); ++kind)
            lines.fill(laid + ((c - mine.begin) * lines.kinds() + kind) * line, right + (picture * channels + c) * input_area, input.size(2), input.size(3), seen, kind);
        add_rows(out, entries, of_rows, {block, block + 1}, left + (picture * rows + of_rows.begin) * area + first * width, area, laid, column_starts.data(), seen.size() * width, dots,
                 mine.begin * kernel);
      }
  };
  at::parallel_for(0, column_parts * row_parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const int64_t column_part = part % column_parts, row_part = part / column_parts;
      const Range of_rows{entries.first_row(row_part, row_parts), entries.first_row(row_part + 1, row_parts)};
      for (int64_t block = entries.blocks() * column_part / column_parts; block < entries.blocks() * (column_part + 1) / column_parts; ++block)
        if (of_rows.size() && entries.column(block) < entries.column(block + 1)) add(static_cast<T*>(memory.data_ptr()) + part * memory.size(1), of_rows, block);
    }
  });
}

}  // namespace

bool windows_pay(at::ScalarType dtype, int64_t height, int64_t width, const ConvolutionShape& shape) {
  return width > 0 && window_rows(dtype, height, width, KernelLines(shape, width).gap()) > 0;
}

void sampled_windows_add_(const torch::Tensor& out, const torch::Tensor& indices, const torch::Tensor& row_starts, const torch::Tensor& gradient, const torch::Tensor& input,
                          const ConvolutionShape& shape) {
  RECORD_FUNCTION("sara::sampled_windows", {});
  SARA_CHECK(out.is_contiguous() && out.numel() == indices.numel() && out.scalar_type() == torch::kFloat && gradient.is_contiguous() && input.is_contiguous());
  SARA_CHECK(gradient.scalar_type() == input.scalar_type() && sampled_dtype(input.scalar_type()) == input.scalar_type() && gradient.size(0) == input.size(0));
  if (gradient.scalar_type() == torch::kBFloat16)
    add_windows<uint16_t>(out.data_ptr<float>(), indices, row_starts, gradient, input, shape, sampled_dots_bf16());
  else
    add_windows<float>(out.data_ptr<float>(), indices, row_starts, gradient, input, shape, sampled_dots_f32());
}

}  // namespace sara
