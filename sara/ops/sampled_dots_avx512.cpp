// SPDX-License-Identifier: Apache-2.0
// Sampled dot products in 512-bit registers: the row stays in up to eighteen of them while its columns pass, four at a time,
// and sixteen sums leave in one. Of a row with few columns each is a dot product of its own.
#include "sara/ops/sampled_dots.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "sara/ops/avx512_begin.h"

#include "sara/ops/avx512.h"

namespace sara {
namespace {

// Four vectors -> one that holds, in each 128-bit part, what is left to add up of each of the four.
__m512 fold_four(__m512 a, __m512 b, __m512 c, __m512 d) {
  const __m512 ab = _mm512_add_ps(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  const __m512 cd = _mm512_add_ps(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  return _mm512_add_ps(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xEE));
}

__m512 fold_parts(__m512 a, __m512 b) { return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD)); }

constexpr int64_t kFew = 2;  // columns of a row that take less time one by one

// Of one column: nothing is held, nothing folded for others. The numbers are added in the same order as below: in which company a column passes does not
// show in its sum.
template <class V, int kVectors>
float dot(const typename V::Number* row, const typename V::Number* column) {
  __m512 sum = _mm512_setzero_ps();
#pragma GCC unroll 18
  for (int v = 0; v < kVectors; ++v) sum = V::multiply_add(sum, V::load(row + v * V::kLanes), V::load(column + v * V::kLanes));
  sum = _mm512_add_ps(sum, _mm512_shuffle_ps(sum, sum, 0x4E));
  sum = _mm512_add_ps(sum, _mm512_shuffle_ps(sum, sum, 0xB1));
  sum = _mm512_add_ps(sum, _mm512_shuffle_f32x4(sum, sum, 0xB1));
  return _mm512_cvtss_f32(_mm512_add_ps(sum, _mm512_shuffle_f32x4(sum, sum, 0x4E)));
}

template <class V, int kVectors>
void dots(float* sums, const typename V::Number* row, const typename V::Number* right, const int64_t* column_starts, const int32_t* indices,
          int32_t first, int64_t count) {
  if (count <= kFew) {
    for (int64_t k = 0; k < count; ++k) sums[k] += dot<V, kVectors>(row, right + column_starts[indices[k] - first]);
    return;
  }
  typename V::Vector held[kVectors];
#pragma GCC unroll 18
  for (int v = 0; v < kVectors; ++v) held[v] = V::load(row + v * V::kLanes);
  for (int64_t k = 0; k < count; k += 16) {
    const int64_t left = count - k < 16 ? count - k : 16;
    __m512 fours[4];
#pragma GCC unroll 4
    for (int four = 0; four < 4; ++four) {
      if (4 * four >= left) {  // a row of few selected weights
        fours[four] = _mm512_setzero_ps();
        continue;
      }
      const typename V::Number* column[4];
      __m512 sum[4];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        const int64_t at = 4 * four + j;
        column[j] = right + column_starts[indices[k + (at < left ? at : 0)] - first];
        sum[j] = _mm512_setzero_ps();
      }
#pragma GCC unroll 18
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

// sums[c] += the sum over sixteen rows of thirty-two bf16 channels.
void add_pairs(float* sums, const __m512 (&row)[16]) {
  __m512 even = _mm512_setzero_ps(), odd = _mm512_setzero_ps();
#pragma GCC unroll 16
  for (int t = 0; t < 16; ++t) {
    const __m512i words = _mm512_castps_si512(row[t]);
    even = _mm512_add_ps(even, _mm512_castsi512_ps(_mm512_slli_epi32(words, 16)));
    odd = _mm512_add_ps(odd, _mm512_castsi512_ps(_mm512_and_si512(words, _mm512_set1_epi32(static_cast<int>(0xffff0000u)))));
  }
  const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
  _mm512_storeu_ps(sums, _mm512_add_ps(_mm512_loadu_ps(sums), _mm512_permutex2var_ps(even, low, odd)));
  _mm512_storeu_ps(sums + 16, _mm512_add_ps(_mm512_loadu_ps(sums + 16), _mm512_permutex2var_ps(even, high, odd)));
}

template <class V, int kVectors = 1, class... Arguments>
void dots_of(int64_t vectors, Arguments... arguments) {
  if constexpr (kVectors * V::kLanes <= kDotsLength<typename V::Number>) {
    if (vectors == kVectors) return dots<V, kVectors>(arguments...);
    return dots_of<V, kVectors + 1>(vectors, arguments...);
  }
}

}  // namespace

void turn_block_avx512(float* lines, int64_t line, const float* tokens, int64_t token, uint32_t wanted, float* sums) {
  __m512 row[16];
#pragma GCC unroll 16
  for (int t = 0; t < 16; ++t) row[t] = _mm512_loadu_ps(tokens + t * token);
  if (sums) {
    __m512 sum[2] = {row[0], row[1]};
#pragma GCC unroll 14
    for (int t = 2; t < 16; ++t) sum[t % 2] = _mm512_add_ps(sum[t % 2], row[t]);
    _mm512_storeu_ps(sums, _mm512_add_ps(_mm512_loadu_ps(sums), _mm512_add_ps(sum[0], sum[1])));
  }
  avx512::turn(row);
#pragma GCC unroll 16
  for (int c = 0; c < 16; ++c)
    if (wanted >> c & 1) _mm512_storeu_ps(lines + c * line, row[c]);
}

void turn_block_avx512(uint16_t* lines, int64_t line, const uint16_t* tokens, int64_t token, uint32_t wanted, float* sums) {
  __m512 half[2][16];  // of sixteen tokens each; then each holds one pair of channels, token by token
#pragma GCC unroll 2
  for (int h = 0; h < 2; ++h) {
#pragma GCC unroll 16
    for (int t = 0; t < 16; ++t) half[h][t] = _mm512_loadu_ps(tokens + (16 * h + t) * token);
    if (sums) add_pairs(sums, half[h]);
    avx512::turn(half[h]);
  }
  alignas(64) static constexpr uint16_t kEven[32] = {0,  2,  4,  6,  8,  10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 42, 44, 46, 48, 50, 52, 54, 56, 58, 60, 62};
  const __m512i even = _mm512_load_si512(kEven), odd = _mm512_or_si512(even, _mm512_set1_epi16(1));
#pragma GCC unroll 16
  for (int pair = 0; pair < 16; ++pair) {
    const __m512i low = _mm512_castps_si512(half[0][pair]), high = _mm512_castps_si512(half[1][pair]);
    if (wanted >> (2 * pair) & 1) _mm512_storeu_si512(lines + 2 * pair * line, _mm512_permutex2var_epi16(low, even, high));
    if (wanted >> (2 * pair + 1) & 1) _mm512_storeu_si512(lines + (2 * pair + 1) * line, _mm512_permutex2var_epi16(low, odd, high));
  }
}

void sampled_dots_avx512(float* sums, const float* row, const float* right, const int64_t* column_starts, const int32_t* indices, int32_t first,
                         int64_t count, int64_t length) {
  dots_of<avx512::Floats>(length / avx512::Floats::kLanes, sums, row, right, column_starts, indices, first, count);
}

void sampled_dots_avx512_bf16(float* sums, const uint16_t* row, const uint16_t* right, const int64_t* column_starts, const int32_t* indices,
                              int32_t first, int64_t count, int64_t length) {
  dots_of<avx512::BFloats>(length / avx512::BFloats::kLanes, sums, row, right, column_starts, indices, first, count);
}

}  // namespace sara

#include "sara/ops/avx512_end.h"
#endif
