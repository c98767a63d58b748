// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/sampled_matmul.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <unistd.h>

#include <algorithm>

#include "sara/base/error.h"
#include "sara/ops/sampled_rows.h"

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

template <class T>
void add_products(float* out, const SampledEntries& entries, const SampledFactors& factors, SampledDots<T> dots) {
  const auto* left = static_cast<const T*>(factors.left.const_data_ptr());
  const auto* right = static_cast<const T*>(factors.right.const_data_ptr());
  const int64_t stride = factors.left.stride(0), parts = at::get_num_threads();
  at::parallel_for(0, parts, 1, [&](int64_t first_part, int64_t end_part) {
    const int64_t begin = entries.first_row(first_part, parts), end = entries.first_row(end_part, parts);
    add_rows(out, entries, {begin, end}, {0, entries.blocks()}, left + begin * stride, stride, right, factors.column_starts.data(), factors.length, dots);
  });
}

}  // namespace

int64_t columns_together(int64_t columns, int64_t lines, int64_t line_bytes) {
  return std::max<int64_t>(1, cache_bytes() / std::max<int64_t>(1, line_bytes) * columns / std::max<int64_t>(1, lines));
}

SampledEntries::SampledEntries(const torch::Tensor& indices, const torch::Tensor& row_starts, int64_t columns, int64_t lines, int64_t line_bytes, int64_t parts, int64_t step)
    : indices_(indices.const_data_ptr<int32_t>()), rows_(row_starts.numel() - 1), columns_(columns) {
  SARA_CHECK(indices.scalar_type() == torch::kInt && indices.is_contiguous() && row_starts.scalar_type() == torch::kLong && row_starts.is_contiguous());
  const int64_t together = columns_together(columns, lines, line_bytes);
  blocks_ = (std::max<int64_t>(1, (columns + together - 1) / together) + parts - 1) / parts * parts;
  together_ = (columns + blocks_ * step - 1) / (blocks_ * step) * step;
  firsts_.resize((blocks_ + 1) * rows_);
  const auto* starts = row_starts.const_data_ptr<int64_t>();
  at::parallel_for(0, rows_, 64, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      int64_t first = starts[row];
      for (int64_t block = 0; block < blocks_; ++block) {
        firsts_[block * rows_ + row] = first;
        first = block + 1 == blocks_ ? starts[row + 1] : std::lower_bound(indices_ + first, indices_ + starts[row + 1], row * columns_ + column(block + 1)) - indices_;
      }
      firsts_[blocks_ * rows_ + row] = first;
    }
  });
}

int64_t SampledEntries::first_row(int64_t part, int64_t parts, int64_t step) const {
  if (part == parts) return rows_;
  const auto end = firsts_.begin() + rows_;
  const int64_t selected = rows_ ? firsts_.back() : 0;
  const int64_t row = std::lower_bound(firsts_.begin(), end, selected * part / parts) - firsts_.begin();
  return std::min(rows_, (row + step / 2) / step * step);
}

at::ScalarType sampled_dtype(at::ScalarType dtype) {
  return dtype == torch::kBFloat16 && sampled_dots_bf16() ? torch::kBFloat16 : torch::kFloat;
}

void sampled_matmul_add_(const torch::Tensor& out, const torch::Tensor& indices, const torch::Tensor& row_starts, const SampledFactors& factors) {
  RECORD_FUNCTION("sara::sampled_matmul", {});
  SARA_CHECK(out.is_contiguous() && out.numel() == indices.numel() && out.scalar_type() == torch::kFloat && factors.length % kSampledLanes == 0);
  SARA_CHECK(factors.left.scalar_type() == factors.right.scalar_type() && sampled_dtype(factors.left.scalar_type()) == factors.left.scalar_type());
  const auto run = [&]<class T>(SampledDots<T> dots) {
    const int64_t length = std::max<int64_t>(1, factors.length), bytes = sizeof(T);
    const int64_t lines = factors.right.storage().nbytes() / (length * bytes);  // several columns may share one
    const SampledEntries entries(indices, row_starts, factors.column_starts.size(), lines, std::min(length, kDotsLength<T>) * bytes);
    add_products<T>(out.data_ptr<float>(), entries, factors, dots);
  };
  if (factors.left.scalar_type() == torch::kBFloat16)
    run(sampled_dots_bf16());
  else
    run(sampled_dots_f32());
}

}  // namespace sara
