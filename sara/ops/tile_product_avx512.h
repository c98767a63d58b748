// SPDX-License-Identifier: Apache-2.0
// The innermost product of Winograd's convolutions and of linear layers in bf16. To be included between the two pragma headers of a file.
#pragma once

#include "sara/ops/avx512.h"
#include "sara/ops/tile_rows.h"

namespace sara::avx512 {

constexpr int64_t kAhead = 32 * kTileColumns;  // numbers of b that are asked for before they are needed: it lies far from the processor

// How the factor that is broadcast lies in memory: a row's numbers together, `row` numbers from row to row, or a column's fourteen.
struct ByRows {
  int64_t row;
};
struct ByColumns {};

// c[r, j] (+)= sum_d a[r, d] · b[d · 32 + j] for r < kRows, j < 32.
template <int kRows>
SARA_AVX512 void tile_product(float* c, int64_t c_row, const float* a, ByRows order, const float* b, int64_t depth, bool adds) {
  __m512 sum[kRows][2];
#pragma GCC unroll 14
  for (int r = 0; r < kRows; ++r) {
    sum[r][0] = adds ? _mm512_loadu_ps(c + r * c_row) : _mm512_setzero_ps();
    sum[r][1] = adds ? _mm512_loadu_ps(c + r * c_row + 16) : _mm512_setzero_ps();
  }
  const float* third[5];  // every third row has a register: an address reaches two further
#pragma GCC unroll 5
  for (int i = 0; i < 5; ++i) third[i] = a + (3 * i < kRows ? 3 * i * order.row : 0);
  for (int64_t d = 0; d < depth; ++d, b += kTileColumns) {
    const __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16);
    _mm_prefetch(reinterpret_cast<const char*>(b + kAhead), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(b + kAhead + 16), _MM_HINT_T0);
#pragma GCC unroll 14
    for (int r = 0; r < kRows; ++r) {
      const __m512 one = _mm512_set1_ps(third[r / 3][r % 3 * order.row]);
      sum[r][0] = _mm512_fmadd_ps(one, b0, sum[r][0]);
      sum[r][1] = _mm512_fmadd_ps(one, b1, sum[r][1]);
    }
#pragma GCC unroll 5
    for (int i = 0; i < 5; ++i) ++third[i];
  }
#pragma GCC unroll 14
  for (int r = 0; r < kRows; ++r) {
    _mm512_storeu_ps(c + r * c_row, sum[r][0]);
    _mm512_storeu_ps(c + r * c_row + 16, sum[r][1]);
  }
}

template <int kRows>
SARA_AVX512 void tile_product(float* c, int64_t c_row, const float* a, ByColumns, const float* b, int64_t depth, bool adds) {
  __m512 sum[kRows][2];
#pragma GCC unroll 14
  for (int r = 0; r < kRows; ++r) {
    sum[r][0] = adds ? _mm512_loadu_ps(c + r * c_row) : _mm512_setzero_ps();
    sum[r][1] = adds ? _mm512_loadu_ps(c + r * c_row + 16) : _mm512_setzero_ps();
  }
  for (int64_t d = 0; d < depth; ++d, a += kTileRows, b += kTileColumns) {
    const __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16);
    _mm_prefetch(reinterpret_cast<const char*>(b + kAhead), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(b + kAhead + 16), _MM_HINT_T0);
#pragma GCC unroll 14
    for (int r = 0; r < kRows; ++r) {
      const __m512 one = _mm512_set1_ps(a[r]);
      sum[r][0] = _mm512_fmadd_ps(one, b0, sum[r][0]);
      sum[r][1] = _mm512_fmadd_ps(one, b1, sum[r][1]);
    }
  }
#pragma GCC unroll 14
  for (int r = 0; r < kRows; ++r) {
    _mm512_storeu_ps(c + r * c_row, sum[r][0]);
    _mm512_storeu_ps(c + r * c_row + 16, sum[r][1]);
  }
}

// The same for any number of rows up to kTileRows.
template <int kRows = kTileRows, class Order>
SARA_AVX512 void tile_product_of(int64_t rows, float* c, int64_t c_row, const float* a, Order order, const float* b, int64_t depth, bool adds = false) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return tile_product<kRows>(c, c_row, a, order, b, depth, adds);
    tile_product_of<kRows - 1>(rows, c, c_row, a, order, b, depth, adds);
  }
}

}  // namespace sara::avx512
