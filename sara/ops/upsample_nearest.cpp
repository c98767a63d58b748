// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/upsample_nearest.h"

#include <ATen/Parallel.h>
#include <ATen/ops/upsample_nearest2d.h>
#include <ATen/record_function.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "sara/ops/vectorized.h"

namespace sara {
namespace {

// Of each number of an enlarged line the place of the one it is, in torch's fp32 arithmetic.
std::vector<int32_t> nearest_places(int64_t from, int64_t to) {
  const float scale = static_cast<float>(from) / static_cast<float>(to);
  std::vector<int32_t> places(to);
  for (int64_t i = 0; i < to; ++i) places[i] = static_cast<int32_t>(std::min(from - 1, static_cast<int64_t>(std::floor(static_cast<float>(i) * scale))));
  return places;
}

template <class T>
SARA_INLINE void twice(T* to, const T* from, int64_t count) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) to[2 * i] = to[2 * i + 1] = from[i];
}
SARA_VECTORIZED void double_row(float* to, const float* from, int64_t count) { twice(to, from, count); }
SARA_VECTORIZED void double_row(bf16_bits* to, const bf16_bits* from, int64_t count) { twice(to, from, count); }

template <class T>
void enlarge(T* to, const T* from, int64_t planes, int64_t height, int64_t width, const std::vector<int32_t>& rows, const std::vector<int32_t>& columns) {
  const auto out_height = static_cast<int64_t>(rows.size()), out_width = static_cast<int64_t>(columns.size());
  at::parallel_for(0, planes, 1 + 16384 / std::max<int64_t>(1, out_height * out_width), [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane)
      for (int64_t h = 0; h < out_height; ++h) {
        T* const row = to + (plane * out_height + h) * out_width;
        const T* const given = from + (plane * height + rows[h]) * width;
        if (h > 0 && rows[h] == rows[h - 1])
          std::memcpy(row, row - out_width, out_width * sizeof(T));
        else if (out_width == 2 * width)
          double_row(row, given, width);
        else
          for (int64_t w = 0; w < out_width; ++w) row[w] = given[columns[w]];
      }
  });
}

}  // namespace

torch::Tensor upsample_nearest(const torch::Tensor& x, int64_t height, int64_t width) {
  const auto dtype = x.scalar_type();
  const bool fits = x.dim() == 4 && x.numel() > 0 && height > 0 && width > 0;  // anything else is torch's to refuse
  if (!x.is_cpu() || (dtype != torch::kFloat && dtype != torch::kBFloat16) || !fits) return at::upsample_nearest2d(x, {height, width});
  RECORD_FUNCTION("sara::upsample_nearest", {});
  const torch::Tensor from = x.contiguous(), out = torch::empty({x.size(0), x.size(1), height, width}, from.options());
  const std::vector<int32_t> rows = nearest_places(x.size(2), height), columns = nearest_places(x.size(3), width);
  const int64_t planes = x.size(0) * x.size(1);
  if (dtype == torch::kFloat)
    enlarge(mutable_numbers<float>(out), numbers<float>(from), planes, x.size(2), x.size(3), rows, columns);
  else
    enlarge(mutable_numbers<bf16_bits>(out), numbers<bf16_bits>(from), planes, x.size(2), x.size(3), rows, columns);
  return out;
}

}  // namespace sara
