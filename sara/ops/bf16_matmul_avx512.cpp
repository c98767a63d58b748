// SPDX-License-Identifier: Apache-2.0
// Linear layers in 512-bit registers: panels of 32 columns of the weight lie in the second cache, fourteen tokens in the first.
#include "sara/ops/bf16_matmul.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "sara/ops/avx512_begin.h"

#include "sara/ops/tile_product_avx512.h"

namespace sara {
namespace {

using Numbers = avx512::BFloats;

// A panel [depth][32] of a weight [columns, depth]: sixteen columns by sixteen numbers at a time are turned.
void pack_turned(const uint16_t* weight, int64_t row, int64_t columns, int64_t depth, float* panel) {
  for (int64_t half = 0; half < 2; ++half)
    for (int64_t d = 0; d < depth; d += 16) {
      const __mmask16 mask = avx512::first_lanes(depth - d);
      __m512 lines[16];
#pragma GCC unroll 16
      for (int c = 0; c < 16; ++c) {
        const bool there = 16 * half + c < columns;
        lines[c] = Numbers::load_numbers(there ? mask : 0, weight + (there ? (16 * half + c) * row : 0) + d);
      }
      avx512::turn(lines);
      const int64_t count = depth - d < 16 ? depth - d : 16;
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i)
        if (i < count) _mm512_storeu_ps(panel + (d + i) * kTileColumns + 16 * half, lines[i]);
    }
}

// The same of a weight [depth, columns].
void pack(const uint16_t* weight, int64_t row, int64_t columns, int64_t depth, float* panel) {
  const __mmask16 left = avx512::first_lanes(columns), right = columns > 16 ? avx512::first_lanes(columns - 16) : 0;
  for (int64_t d = 0; d < depth; ++d) {
    _mm512_storeu_ps(panel + d * kTileColumns, Numbers::load_numbers(left, weight + d * row));
    _mm512_storeu_ps(panel + d * kTileColumns + 16, Numbers::load_numbers(right, weight + d * row + (right ? 16 : 0)));
  }
}

void copy_tokens(const uint16_t* x, int64_t row, int64_t tokens, int64_t depth, float* to, int64_t to_row) {
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t d = 0; d < depth; d += 16) _mm512_storeu_ps(to + t * to_row + d, Numbers::load_numbers(avx512::first_lanes(depth - d), x + t * row + d));
}

}  // namespace

void bf16_matmul_avx512(const Bf16Matmul& m, int64_t block, int64_t first, int64_t count, float* work) {
  using M = Bf16Matmul;
  float *const sums = work, *const panels = sums + M::kMostTokens * M::kSumRow, *const rows = panels + M::kPanels * M::kDepth * kTileColumns;
  const int64_t token = block * m.block_tokens(), tokens = m.tokens - token < m.block_tokens() ? m.tokens - token : m.block_tokens();
  for (int64_t from = 0; from < m.depth; from += M::kDepth) {
    const int64_t depth = m.depth - from < M::kDepth ? m.depth - from : M::kDepth;
    for (int64_t p = 0; p < count; ++p) {
      const int64_t column = (first + p) * kTileColumns, columns = m.columns - column < kTileColumns ? m.columns - column : kTileColumns;
      float* panel = panels + p * M::kDepth * kTileColumns;
      if (m.transposed)
        pack_turned(m.weight + column * m.depth + from, m.depth, columns, depth, panel);
      else
        pack(m.weight + from * m.columns + column, m.columns, columns, depth, panel);
    }
    for (int64_t t = 0; t < tokens; t += kTileRows) {
      const int64_t some = tokens - t < kTileRows ? tokens - t : kTileRows;
      copy_tokens(m.x + (token + t) * m.depth + from, m.depth, some, depth, rows, M::kTokenRow);
      for (int64_t p = 0; p < count; ++p)
        avx512::tile_product_of(some, sums + t * M::kSumRow + p * kTileColumns, M::kSumRow, rows, avx512::ByRows{M::kTokenRow}, panels + p * M::kDepth * kTileColumns, depth, from > 0);
    }
  }
  const int64_t column = first * kTileColumns, end = m.columns - column < count * kTileColumns ? m.columns - column : count * kTileColumns;
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t c = 0; c < end; c += 16) {
      const __mmask16 mask = avx512::first_lanes(end - c);
      __m512 sum = _mm512_loadu_ps(sums + t * M::kSumRow + c);
      if (m.bias) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, m.bias + column + c));
      Numbers::store_numbers(mask, m.out + (token + t) * m.columns + column + c, sum);
    }
}

}  // namespace sara

#include "sara/ops/avx512_end.h"
#endif
