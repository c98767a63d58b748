// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/sampled_matmul.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <unistd.h>

#include <algorithm>

#include "sara/base/error.h"
#include "sara/ops/sampled_dots.h"

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

// How many columns pass together, so that kDotsLength numbers of each stay in cache.
int64_t columns_together(const SampledFactors& factors) {
  const int64_t columns = static_cast<int64_t>(factors.column_starts.size());
  const int64_t lines = std::max<int64_t>(1, factors.right.storage().nbytes() / (std::max<int64_t>(1, factors.length) * factors.right.element_size()));  // several columns may share one
  const int64_t line_bytes = std::min(factors.length, kDotsLength) * factors.right.element_size();
  return std::max<int64_t>(1, cache_bytes() / line_bytes * columns / lines);
}

template <class T>
void add_products(float* out, const int32_t* indices, const int64_t* row_starts, int64_t rows, const SampledFactors& factors, SampledDots<T> dots) {
  const int64_t columns = static_cast<int64_t>(factors.column_starts.size());
  const auto* left = static_cast<const T*>(factors.left.const_data_ptr());
  const auto* right = static_cast<const T*>(factors.right.const_data_ptr());
  const int64_t stride = factors.left.stride(0), selected = row_starts[rows], together = columns_together(factors);
  // Pieces of about equal numbers of entries; an entry belongs to the piece that its row begins in.
  const int64_t pieces = 4 * at::get_num_threads();
  const auto first_row = [&](int64_t piece) { return std::lower_bound(row_starts, row_starts + rows, selected * piece / pieces) - row_starts; };
  at::parallel_for(0, pieces, 1, [&](int64_t first_piece, int64_t end_piece) {
    const int64_t begin = first_row(first_piece), end = end_piece == pieces ? rows : first_row(end_piece);
    std::vector<int64_t> next(row_starts + begin, row_starts + end), until(end - begin);  // of each row, in these columns
    for (int64_t column = 0; column < columns; column += together) {
      for (int64_t row = begin; row < end; ++row)
        until[row - begin] = std::lower_bound(indices + next[row - begin], indices + row_starts[row + 1], row * columns + column + together) - indices;
      for (int64_t i = 0; i < factors.length; i += kDotsLength) {
        const int64_t length = std::min(kDotsLength, factors.length - i);
        for (int64_t row = begin; row < end; ++row) {
          const int64_t at = next[row - begin], count = until[row - begin] - at;
          if (count) dots(out + at, left + row * stride + i, right + i, factors.column_starts.data(), indices + at, static_cast<int32_t>(row * columns), count, length);
        }
      }
      next = until;
    }
  });
}

}  // namespace

at::ScalarType sampled_dtype(at::ScalarType dtype) {
  return dtype == torch::kBFloat16 && sampled_dots_bf16() ? torch::kBFloat16 : torch::kFloat;
}

void sampled_matmul_add_(const torch::Tensor& out, const torch::Tensor& indices, const torch::Tensor& row_starts, const SampledFactors& factors) {
  RECORD_FUNCTION("sara::sampled_matmul", {});
  SARA_CHECK(out.is_contiguous() && out.numel() == indices.numel() && out.scalar_type() == torch::kFloat);
  SARA_CHECK(indices.scalar_type() == torch::kInt && indices.is_contiguous() && factors.length % kSampledLanes == 0);
  SARA_CHECK(factors.left.scalar_type() == factors.right.scalar_type() && sampled_dtype(factors.left.scalar_type()) == factors.left.scalar_type());
  const auto run = [&]<class T>(SampledDots<T> dots) {
    add_products<T>(out.data_ptr<float>(), indices.const_data_ptr<int32_t>(), row_starts.const_data_ptr<int64_t>(), row_starts.numel() - 1, factors, dots);
  };
  if (factors.left.scalar_type() == torch::kBFloat16)
    run(sampled_dots_bf16());
  else
    run(sampled_dots_f32());
}

}  // namespace sara
