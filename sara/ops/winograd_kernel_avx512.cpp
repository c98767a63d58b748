// SPDX-License-Identifier: Apache-2.0
// The four steps of Winograd's convolution. Sixteen tiles, or sixteen kernels, lie in the lanes of a register.
#include "sara/ops/winograd_kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstring>

#include "sara/ops/avx512_begin.h"

#include "sara/ops/tile_product_avx512.h"

namespace sara {
namespace {

// The eight planes that tiles are cut from: even and odd rows of the padded plane, each by the four columns a tile looks at. Number t
// of each belongs to tile t, and that of the tile below lies width / 2 further.
struct TilePlanes {
  TilePlanes(const WinogradTiles& tiles, float* work) : width(tiles.width / 2), height(tiles.rows / 2 + 1), size(size_of(tiles)) {
    for (int parity = 0; parity < 2; ++parity)
      for (int column = 0; column < 4; ++column) {
        at[parity][column] = work + (4 * parity + column) * size;
        std::memset(at[parity][column] + height * width, 0, (size - height * width) * sizeof(float));  // lanes without a tile
      }
  }
  static int64_t size_of(const WinogradTiles& tiles) { return ((tiles.rows / 2 + 1) * (tiles.width / 2) + 31) / 16 * 16; }
  int64_t width, height, size;
  float* at[2][4];
};

template <class T>
SARA_AVX512 float number(T bits) {
  if constexpr (sizeof(T) == 4) {
    return bits;
  } else {
    const uint32_t word = static_cast<uint32_t>(bits) << 16;
    float value;
    std::memcpy(&value, &word, 4);
    return value;
  }
}

template <class T>
void cut(const WinogradTiles& tiles, const T* plane, const TilePlanes& to) {
  const int64_t width = to.width;
  for (int64_t padded = 0; padded < 2 * to.height; ++padded) {
    float* const* row = to.at[padded % 2];
    const int64_t first = padded / 2 * width;
    const int64_t line = tiles.first + padded - 1;
    if (line < 0 || line >= tiles.height) {
      for (int column = 0; column < 4; ++column) std::memset(row[column] + first, 0, width * sizeof(float));
      continue;
    }
    const T* from = plane + line * 2 * width;
    float *left = row[1] + first, *right = row[2] + first;
#pragma GCC ivdep
    for (int64_t w = 0; w < width; ++w) {
      left[w] = number(from[2 * w]);
      right[w] = number(from[2 * w + 1]);
    }
    row[0][first] = 0.0f;
    std::memcpy(row[0] + first + 1, right, (width - 1) * sizeof(float));
    std::memcpy(row[3] + first, left + 1, (width - 1) * sizeof(float));
    row[3][first + width - 1] = 0.0f;
  }
}

template <class T>
void input(const WinogradTiles& tiles, const T* planes, int64_t plane, int64_t channel, int64_t channels, float* v, float* work) {
  const TilePlanes cuts(tiles, work);
  const int64_t count = tiles.of_picture(), panel = channels * kWinogradPanel, point = tiles.panels() * panel;
  for (int64_t picture = 0; picture < tiles.pictures; ++picture) {
    cut(tiles, planes + picture * plane, cuts);
    for (int64_t t = 0; t < count; t += 16) {
      __m512 d[4][4], half[4][4];
#pragma GCC unroll 4
      for (int column = 0; column < 4; ++column) {
        d[0][column] = _mm512_loadu_ps(cuts.at[0][column] + t);
        d[1][column] = _mm512_loadu_ps(cuts.at[1][column] + t);
        d[2][column] = _mm512_loadu_ps(cuts.at[0][column] + t + cuts.width);
        d[3][column] = _mm512_loadu_ps(cuts.at[1][column] + t + cuts.width);
      }
#pragma GCC unroll 4
      for (int column = 0; column < 4; ++column) {
        half[0][column] = _mm512_sub_ps(d[0][column], d[2][column]);
        half[1][column] = _mm512_add_ps(d[1][column], d[2][column]);
        half[2][column] = _mm512_sub_ps(d[2][column], d[1][column]);
        half[3][column] = _mm512_sub_ps(d[1][column], d[3][column]);
      }
      const int64_t tile = picture * count + t;
      float* to = v + tile / kWinogradPanel * panel + channel * kWinogradPanel + tile % kWinogradPanel;
#pragma GCC unroll 4
      for (int row = 0; row < 4; ++row) {
        _mm512_storeu_ps(to + (4 * row) * point, _mm512_sub_ps(half[row][0], half[row][2]));
        _mm512_storeu_ps(to + (4 * row + 1) * point, _mm512_add_ps(half[row][1], half[row][2]));
        _mm512_storeu_ps(to + (4 * row + 2) * point, _mm512_sub_ps(half[row][2], half[row][1]));
        _mm512_storeu_ps(to + (4 * row + 3) * point, _mm512_sub_ps(half[row][1], half[row][3]));
      }
    }
  }
  if (const int64_t end = tiles.pictures * count; end % kWinogradPanel != 0) {
    for (int64_t p = 0; p < kWinogradPoints; ++p) _mm512_storeu_ps(v + p * point + end / kWinogradPanel * panel + channel * kWinogradPanel + 16, _mm512_setzero_ps());
  }
}

// G times three numbers: a, (a + b + c) / 2, (a - b + c) / 2, c
SARA_AVX512 void spread(__m512 a, __m512 b, __m512 c, __m512 (&to)[4]) {
  const __m512 half = _mm512_set1_ps(0.5f), ends = _mm512_mul_ps(half, _mm512_add_ps(a, c));
  to[0] = a;
  to[1] = _mm512_fmadd_ps(half, b, ends);
  to[2] = _mm512_fnmadd_ps(half, b, ends);
  to[3] = c;
}

template <class V>
void kernels(const WinogradPart& part, const typename V::Number* weight, float* u) {
  const bool forward = part.pass == WinogradPass::forward;
  const int64_t point = part.u_point(), outs = forward ? part.rows : part.depth, ins = forward ? part.depth : part.rows;
  const int64_t row = 9 * (forward ? part.depth : part.all), lanes = forward ? 16 : kTileRows;
  const auto* from_part = weight + (forward ? part.first * row : part.first * 9);
  const auto pass = [&](int64_t out, int64_t in, int64_t count) {
    const auto* from = from_part + out * row + in * 9;
    __m512 g[16];
#pragma GCC unroll 16
    for (int lane = 0; lane < 16; ++lane) g[lane] = V::load_numbers(lane < count ? 0x1ff : 0, from + lane * 9);
    avx512::turn(g);
    __m512 rows[3][4];  // [kh], spread along kw
#pragma GCC unroll 3
    for (int kh = 0; kh < 3; ++kh) {
      if (forward)
        spread(g[3 * kh], g[3 * kh + 1], g[3 * kh + 2], rows[kh]);
      else  // the kernel turned by half a circle
        spread(g[8 - 3 * kh], g[7 - 3 * kh], g[6 - 3 * kh], rows[kh]);
    }
    float* to = u + (forward ? out * (part.depth + 16) + in : in * part.depth + out * kTileRows);
    const __mmask16 mask = avx512::first_lanes(count);
#pragma GCC unroll 4
    for (int column = 0; column < 4; ++column) {
      __m512 points[4];
      spread(rows[0][column], rows[1][column], rows[2][column], points);
#pragma GCC unroll 4
      for (int line = 0; line < 4; ++line) _mm512_mask_storeu_ps(to + (4 * line + column) * point, mask, points[line]);
    }
  };
  const auto count = [&](int64_t in) { return ins - in < lanes ? ins - in : lanes; };
  if (forward) {
    for (int64_t out = 0; out < outs; ++out)
      for (int64_t in = 0; in < ins; in += lanes) pass(out, in, count(in));
  } else {
    for (int64_t in = 0; in < ins; in += lanes)
      for (int64_t out = 0; out < outs; ++out) {
        const char* ahead = reinterpret_cast<const char*>(from_part + (out + 4) * row + in * 9);  // rows lie far apart
        for (int64_t i = 0; i < 9 * lanes * int64_t(sizeof(*weight)); i += 64) _mm_prefetch(ahead + i, _MM_HINT_T0);
        pass(out, in, count(in));
      }
  }
}

template <class Order>
void multiply(const WinogradPart& part, const WinogradTiles& tiles, const float* u, Order order, int64_t group, const float* v, float* m) {
  const int64_t panels = tiles.panels(), panel = part.depth * kWinogradPanel;
  for (int64_t point = 0; point < kWinogradPoints; ++point)
    for (int64_t p = 0; p < panels; ++p)
      for (int64_t first = 0; first < part.rows; first += kTileRows)
        avx512::tile_product_of(part.rows - first < kTileRows ? part.rows - first : kTileRows, m + (point * part.rows + first) * tiles.row() + p * kWinogradPanel, tiles.row(),
                                u + point * part.u_point() + first * group, order, v + (point * panels + p) * panel, part.depth);
}

template <class V>
void output(const WinogradTiles& tiles, const float* m, int64_t point, float bias, typename V::Number* planes, int64_t plane, float* work) {
  const int64_t count = tiles.of_picture(), width = tiles.width;
  float* rows[2] = {work, work + 2 * count};  // the even and the odd rows of the plane
  const __m512 shift = _mm512_set1_ps(bias);
  const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  for (int64_t picture = 0; picture < tiles.pictures; ++picture) {
    for (int64_t t = 0; t < count; t += 16) {
      const float* from = m + picture * count + t;
      __m512 half[2][4];
#pragma GCC unroll 4
      for (int column = 0; column < 4; ++column) {
        const __m512 a = _mm512_loadu_ps(from + column * point), b = _mm512_loadu_ps(from + (4 + column) * point), c = _mm512_loadu_ps(from + (8 + column) * point);
        half[0][column] = _mm512_add_ps(_mm512_add_ps(a, b), c);
        half[1][column] = _mm512_sub_ps(_mm512_sub_ps(b, c), _mm512_loadu_ps(from + (12 + column) * point));
      }
#pragma GCC unroll 2
      for (int row = 0; row < 2; ++row) {
        const __m512 left = _mm512_add_ps(_mm512_add_ps(half[row][0], half[row][1]), _mm512_add_ps(half[row][2], shift));
        const __m512 right = _mm512_add_ps(_mm512_sub_ps(_mm512_sub_ps(half[row][1], half[row][2]), half[row][3]), shift);
        _mm512_storeu_ps(rows[row] + 2 * t, _mm512_permutex2var_ps(left, low, right));
        _mm512_storeu_ps(rows[row] + 2 * t + 16, _mm512_permutex2var_ps(left, high, right));
      }
    }
    for (int64_t h = 0; h < tiles.rows; ++h) {
      const float* from = rows[h % 2] + h / 2 * width;
      auto* to = planes + picture * plane + (tiles.first + h) * width;
      for (int64_t w = 0; w < width; w += 16) {
        const __mmask16 lanes = avx512::first_lanes(width - w);
        V::store_numbers(lanes, to + w, _mm512_maskz_loadu_ps(lanes, from + w));
      }
    }
  }
}

}  // namespace

int64_t winograd_work_floats(const WinogradTiles& tiles) {
  const int64_t cut = 8 * TilePlanes::size_of(tiles), rows = 4 * tiles.of_picture();
  return cut > rows ? cut : rows;
}

void winograd_input_avx512(const WinogradTiles& tiles, const float* planes, int64_t plane, int64_t channel, int64_t channels, float* v, float* work) {
  input(tiles, planes, plane, channel, channels, v, work);
}

void winograd_input_avx512(const WinogradTiles& tiles, const uint16_t* planes, int64_t plane, int64_t channel, int64_t channels, float* v, float* work) {
  input(tiles, planes, plane, channel, channels, v, work);
}

void winograd_kernels_avx512(const WinogradPart& part, const float* weight, float* u) { kernels<avx512::Floats>(part, weight, u); }
void winograd_kernels_avx512(const WinogradPart& part, const uint16_t* weight, float* u) { kernels<avx512::BFloats>(part, weight, u); }

void winograd_multiply_avx512(const WinogradPart& part, const WinogradTiles& tiles, const float* u, const float* v, float* m) {
  if (part.pass == WinogradPass::forward)
    multiply(part, tiles, u, avx512::ByRows{part.depth + 16}, part.depth + 16, v, m);
  else
    multiply(part, tiles, u, avx512::ByColumns{}, part.depth, v, m);
}

void winograd_output_avx512(const WinogradTiles& tiles, const float* m, int64_t point, float bias, float* planes, int64_t plane, float* work) {
  output<avx512::Floats>(tiles, m, point, bias, planes, plane, work);
}

void winograd_output_avx512(const WinogradTiles& tiles, const float* m, int64_t point, float bias, uint16_t* planes, int64_t plane, float* work) {
  output<avx512::BFloats>(tiles, m, point, bias, planes, plane, work);
}

}  // namespace sara

#include "sara/ops/avx512_end.h"
#endif
