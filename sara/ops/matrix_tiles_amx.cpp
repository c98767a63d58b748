// SPDX-License-Identifier: Apache-2.0
// Four tiles of sums stay in registers while two tiles of rows and two of columns pass.
#include "sara/ops/matrix_tiles.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "sara/ops/avx512_begin.h"

#include "sara/ops/avx512.h"

namespace sara {
namespace {

// What the processor reads (LDTILECFG): at first all eight tiles are whole.
struct alignas(64) TileLayout {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
const TileLayout whole;

// The compiler does not know that tile instructions read memory: what was written before must be there.
SARA_AVX512 void settle() { asm volatile("" ::: "memory"); }

constexpr int64_t kTileBytes = 64, kSumsBytes = kTileBlock * sizeof(float);

}  // namespace

void lay_out_tiles() { _tile_loadconfig(&whole); }
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

namespace {

// Of word_product(): where the numbers are, and their rows' bytes.
struct Words {
  float* c;
  const uint32_t *a, *b;
  int64_t c_row, a_row, b_row;  // bytes from row to row
  int64_t words;
  bool adds;
  template <class T>
  static SARA_AVX512 T* moved(T* from, int64_t bytes) {
    return reinterpret_cast<T*>(reinterpret_cast<intptr_t>(from) + bytes);
  }
};

// Tiles 0 and 1 are sums, 2 and 3 rows, 4 columns; 5 and 6 are rows and columns of the words behind the last whole tile.
void lay_out_words(int64_t rows, int64_t words) {
  TileLayout layout;
  for (const int tile : {0, 2, 5}) layout.rows[tile] = static_cast<uint8_t>(rows);
  layout.row_bytes[5] = static_cast<uint16_t>(words ? 4 * words : 64);
  layout.rows[6] = static_cast<uint8_t>(words ? words : 16);
  settle();
  _tile_loadconfig(&layout);
}

// One tile of rows, or two, and one of columns.
template <bool kTwo>
void multiply_words(const Words& m) {
  const int64_t a_tile = kTileSide * m.a_row, c_tile = kTileSide * m.c_row;
  if (m.adds) {
    _tile_loadd(0, m.c, m.c_row);
    if constexpr (kTwo) _tile_loadd(1, m.moved(m.c, c_tile), m.c_row);
  } else {
    _tile_zero(0);
    if constexpr (kTwo) _tile_zero(1);
  }
  const uint32_t *a = m.a, *b = m.b;
  int64_t w = 0;
  for (; w + kTileSide <= m.words; w += kTileSide, a += kTileSide, b = m.moved(b, kTileSide * m.b_row)) {
    _tile_loadd(4, b, m.b_row);
    _tile_loadd(2, a, m.a_row);
    _tile_dpbf16ps(0, 2, 4);
    if constexpr (kTwo) {
      _tile_loadd(3, m.moved(a, a_tile), m.a_row);
      _tile_dpbf16ps(1, 3, 4);
    }
  }
  if (w < m.words) {
    _tile_loadd(6, b, m.b_row);
    _tile_loadd(5, a, m.a_row);
    _tile_dpbf16ps(0, 5, 6);
    if constexpr (kTwo) {
      _tile_loadd(5, m.moved(a, a_tile), m.a_row);
      _tile_dpbf16ps(1, 5, 6);
    }
  }
  _tile_stored(0, m.c, m.c_row);
  if constexpr (kTwo) _tile_stored(1, m.moved(m.c, c_tile), m.c_row);
}

}  // namespace

void word_product(float* c, int64_t c_row, const uint32_t* a, int64_t a_row, const uint32_t* b, int64_t b_row, int64_t rows, int64_t registers, int64_t words, bool adds) {
  const auto at = [&](int64_t r, int64_t n) { return Words{c + r * c_row + n * kTileSide, a + r * a_row, b + n * kTileSide, 4 * c_row, 4 * a_row, 4 * b_row, words, adds}; };
  lay_out_words(kTileSide, words % kTileSide);
  int64_t r = 0;
  for (; r + 2 * kTileSide <= rows; r += 2 * kTileSide)
    for (int64_t n = 0; n < registers; ++n) multiply_words<true>(at(r, n));
  if (r + kTileSide <= rows) {
    for (int64_t n = 0; n < registers; ++n) multiply_words<false>(at(r, n));
    r += kTileSide;
  }
  if (r == rows) return;
  lay_out_words(rows - r, words % kTileSide);
  for (int64_t n = 0; n < registers; ++n) multiply_words<false>(at(r, n));
}

int64_t add_wanted(float* out, const int32_t* indices, int64_t count, int32_t first, int32_t columns, const int32_t* places, const float* sums) {
  const __m512i begin = _mm512_set1_epi32(first), limit = _mm512_set1_epi32(columns);
  for (int64_t e = 0;; e += 16) {
    const __mmask16 there = avx512::first_lanes(count > e ? count - e : 0);
    const __m512i column = _mm512_sub_epi32(_mm512_maskz_loadu_epi32(there, indices + e), begin);
    const __mmask16 here = _mm512_mask_cmplt_epi32_mask(there, column, limit);
    const __m512i place = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), here, column, places, 4);
    const __m512 sum = _mm512_mask_i32gather_ps(_mm512_setzero_ps(), here, place, sums, 4);
    _mm512_mask_storeu_ps(out + e, here, _mm512_add_ps(_mm512_maskz_loadu_ps(here, out + e), sum));
    if (here != 0xffff) return e + __builtin_popcount(here);
  }
}

}  // namespace sara

#include "sara/ops/avx512_end.h"
#endif
