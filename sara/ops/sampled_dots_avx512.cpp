// SPDX-License-Identifier: Apache-2.0
// Sampled dot products in 512-bit registers: the row stays in up to sixteen of them while its columns pass, four at a time,
// and sixteen sums leave in one.
#include "sara/ops/sampled_dots.h"

#if defined(__x86_64__)
#include <immintrin.h>

#pragma GCC push_options
#pragma GCC diagnostic push
// The compiler's own headers leave registers undefined on purpose.
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC target("avx512f,avx512vl,avx512bf16")

namespace sara {
namespace {

struct Floats {
  using Number = float;
  using Vector = __m512;
  static constexpr int64_t kLanes = 16;
  static Vector load(const float* at) { return _mm512_loadu_ps(at); }
  static __m512 multiply_add(__m512 sum, Vector a, Vector b) { return _mm512_fmadd_ps(a, b, sum); }
};

struct BFloats {
  using Number = uint16_t;
  using Vector = __m512bh;
  static constexpr int64_t kLanes = 32;
  static Vector load(const uint16_t* at) { return reinterpret_cast<Vector>(_mm512_loadu_si512(at)); }
  static __m512 multiply_add(__m512 sum, Vector a, Vector b) { return _mm512_dpbf16_ps(sum, a, b); }
};

// Four vectors -> one that holds, in each 128-bit part, what is left to add up of each of the four.
__m512 fold_four(__m512 a, __m512 b, __m512 c, __m512 d) {
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  return _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xEE));
}

__m512 fold_parts(__m512 a, __m512 b) { return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD)); }

template <class V, int kVectors>
void dots(float* sums, const typename V::Number* row, const typename V::Number* right, const int64_t* column_starts, const int32_t* indices,
          int32_t first, int64_t count) {
  typename V::Vector held[kVectors];
#pragma GCC unroll 16
  for (int v = 0; v < kVectors; ++v) held[v] = V::load(row + v * V::kLanes);
  for (int64_t k = 0; k < count; k += 16) {
    const int64_t left = count - k < 16 ? count - k : 16;
    __m512 fours[4];
#pragma GCC unroll 4
    for (int four = 0; four < 4; ++four) {
      const typename V::Number* column[4];
      __m512 sum[4];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        const int64_t at = 4 * four + j;
        column[j] = right + column_starts[indices[k + (at < left ? at : 0)] - first];
        sum[j] = _mm512_setzero_ps();
      }
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) sum[j] = V::multiply_add(sum[j], held[v], V::load(column[j] + v * V::kLanes));
      }
      fours[four] = fold_four(sum[0], sum[1], sum[2], sum[3]);
    }
    const __m512 all = fold_parts(fold_parts(fours[0], fours[1]), fold_parts(fours[2], fours[3]));
    const auto mask = static_cast<__mmask16>((1u << left) - 1);
    _mm512_mask_storeu_ps(sums + k, mask, _mm512_add_ps(_mm512_maskz_loadu_ps(mask, sums + k), all));
  }
}

template <class V, int kVectors = 1, class... Arguments>
void dots_of(int64_t vectors, Arguments... arguments) {
  if constexpr (kVectors * V::kLanes <= kDotsLength) {
    if (vectors == kVectors) return dots<V, kVectors>(arguments...);
    return dots_of<V, kVectors + 1>(vectors, arguments...);
  }
}

// The transpose of sixteen rows of sixteen numbers.
void turn(__m512 (&row)[16]) {
  __m512 half[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {  // pairs of rows
    half[i] = _mm512_unpacklo_ps(row[i], row[i + 1]);
    half[i + 1] = _mm512_unpackhi_ps(row[i], row[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {  // fours: row[i + j] holds column j of each 128-bit part
    row[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(half[i]), _mm512_castps_pd(half[i + 2])));
    row[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(half[i]), _mm512_castps_pd(half[i + 2])));
    row[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(half[i + 1]), _mm512_castps_pd(half[i + 3])));
    row[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(half[i + 1]), _mm512_castps_pd(half[i + 3])));
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {  // the 128-bit parts of the four fours
    const __m512 a = _mm512_shuffle_f32x4(row[j], row[4 + j], 0x88), b = _mm512_shuffle_f32x4(row[j], row[4 + j], 0xDD);
    const __m512 c = _mm512_shuffle_f32x4(row[8 + j], row[12 + j], 0x88), d = _mm512_shuffle_f32x4(row[8 + j], row[12 + j], 0xDD);
    half[j] = _mm512_shuffle_f32x4(a, c, 0x88);
    half[4 + j] = _mm512_shuffle_f32x4(b, d, 0x88);
    half[8 + j] = _mm512_shuffle_f32x4(a, c, 0xDD);
    half[12 + j] = _mm512_shuffle_f32x4(b, d, 0xDD);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) row[i] = half[i];
}

}  // namespace

void turn_block_avx512(float* lines, int64_t line, const float* tokens, int64_t token) {
  __m512 row[16];
#pragma GCC unroll 16
  for (int t = 0; t < 16; ++t) row[t] = _mm512_loadu_ps(tokens + t * token);
  turn(row);
#pragma GCC unroll 16
  for (int c = 0; c < 16; ++c) _mm512_storeu_ps(lines + c * line, row[c]);
}

void turn_block_avx512(uint16_t* lines, int64_t line, const uint16_t* tokens, int64_t token) {
  __m512 row[16];
#pragma GCC unroll 16
  for (int t = 0; t < 16; ++t)
    row[t] = _mm512_castsi512_ps(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(tokens + t * token))));
  turn(row);
#pragma GCC unroll 16
  for (int c = 0; c < 16; ++c) _mm256_storeu_si256(reinterpret_cast<__m256i*>(lines + c * line), _mm512_cvtepi32_epi16(_mm512_castps_si512(row[c])));
}

void sampled_dots_avx512(float* sums, const float* row, const float* right, const int64_t* column_starts, const int32_t* indices, int32_t first,
                         int64_t count, int64_t length) {
  dots_of<Floats>(length / Floats::kLanes, sums, row, right, column_starts, indices, first, count);
}

void sampled_dots_avx512_bf16(float* sums, const uint16_t* row, const uint16_t* right, const int64_t* column_starts, const int32_t* indices,
                              int32_t first, int64_t count, int64_t length) {
  dots_of<BFloats>(length / BFloats::kLanes, sums, row, right, column_starts, indices, first, count);
}

}  // namespace sara

#pragma GCC diagnostic pop
#pragma GCC pop_options
#endif
