// SPDX-License-Identifier: Apache-2.0
// Four tiles of sums stay in registers while two tiles of rows and two of columns pass.
#include "sara/ops/matrix_tiles.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

#include "sara/ops/avx512_begin.h"

#include "sara/ops/avx512.h"

namespace sara {
namespace {

// What the processor reads (LDTILECFG): all eight tiles whole.
struct alignas(64) TileLayout {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
const TileLayout layout;

// The compiler does not know that tile instructions read memory: what was written before must be there.
SARA_AVX512 void settle() { asm volatile("" ::: "memory"); }

constexpr int64_t kTileBytes = 64, kSumsBytes = kTileBlock * sizeof(float);

}  // namespace

void lay_out_tiles() { _tile_loadconfig(&layout); }
void release_tiles() { _tile_release(); }

void lay_tile_rows(uint16_t* to, const uint16_t* rows, int64_t stride, int64_t count, int64_t length) {
  for (int64_t r = 0; r < kTileBlock; ++r)
    for (int64_t i = 0; i < length; i += kTileStep)
      _mm512_storeu_si512(to + (i / kTileStep * kTileBlock + r) * kTileStep, r < count ? _mm512_loadu_si512(rows + r * stride + i) : _mm512_setzero_si512());
}

void lay_tile_columns(uint32_t* to, const uint16_t* columns, int64_t stride, int64_t count, int64_t length) {
  for (int64_t i = 0; i < length; i += kTileStep) {
    __m512 words[16];
#pragma GCC unroll 16
    for (int c = 0; c < 16; ++c) words[c] = c < count ? _mm512_loadu_ps(columns + c * stride + i) : _mm512_setzero_ps();
    avx512::turn(words);
#pragma GCC unroll 16
    for (int p = 0; p < 16; ++p) _mm512_storeu_ps(to + (i / 2 + p) * kTileSide, words[p]);
  }
}

void block_product(float* sums, const uint16_t* rows, const uint32_t* left, const uint32_t* right, int64_t length) {
  constexpr int64_t kRowTile = kTileSide * kTileStep, kColumnTile = kTileSide * kTileSide;  // numbers, words
  settle();
  _tile_zero(0);
  _tile_zero(1);
  if (!right) {
    for (int64_t i = 0; i < length; i += kTileStep, rows += 2 * kRowTile, left += kColumnTile) {
      _tile_loadd(6, left, kTileBytes);
      _tile_loadd(4, rows, kTileBytes);
      _tile_dpbf16ps(0, 4, 6);
      _tile_loadd(5, rows + kRowTile, kTileBytes);
      _tile_dpbf16ps(1, 5, 6);
    }
    _tile_stored(0, sums, kSumsBytes);
    _tile_stored(1, sums + kTileSide * kTileBlock, kSumsBytes);
    return;
  }
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t i = 0; i < length; i += kTileStep, rows += 2 * kRowTile, left += kColumnTile, right += kColumnTile) {
    _tile_loadd(6, left, kTileBytes);
    _tile_loadd(4, rows, kTileBytes);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(5, rows + kRowTile, kTileBytes);
    _tile_dpbf16ps(1, 5, 6);
    _tile_loadd(7, right, kTileBytes);
    _tile_dpbf16ps(2, 4, 7);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, sums, kSumsBytes);
  _tile_stored(1, sums + kTileSide * kTileBlock, kSumsBytes);
  _tile_stored(2, sums + kTileSide, kSumsBytes);
  _tile_stored(3, sums + kTileSide * kTileBlock + kTileSide, kSumsBytes);
}

int64_t add_wanted(float* out, const int32_t* indices, int64_t count, int32_t first, int32_t end, const int32_t* places, const float* sums) {
  const __m512i begin = _mm512_set1_epi32(first), limit = _mm512_set1_epi32(end);
  for (int64_t e = 0;; e += 16) {
    const __mmask16 there = avx512::first_lanes(count > e ? count - e : 0);
    const __m512i index = _mm512_maskz_loadu_epi32(there, indices + e);
    const __mmask16 here = _mm512_mask_cmplt_epi32_mask(there, index, limit);
    const __m512i place = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), here, _mm512_sub_epi32(index, begin), places, 4);
    const __m512 sum = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), here, place, sums, 4);
    _mm512_mask_storeu_ps(out + e, here, _mm512_add_ps(_mm512_maskz_loadu_ps(here, out + e), sum));
    if (here != 0xffff) return e + __builtin_popcount(here);
  }
}

}  // namespace sara

#include "sara/ops/avx512_end.h"
#endif
