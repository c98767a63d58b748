// SPDX-License-Identifier: Apache-2.0
// Products of small matrices of words, and the ways a head's numbers are laid out for them. Like avx512.h, which see.
#pragma once

#include "sara/ops/attention_kernel.h"
#include "sara/ops/avx512.h"
#include "sara/ops/matrix_tiles.h"

namespace sara::avx512 {

// Pairs of bf16 numbers whose products are made in the processor's tile registers.
struct TiledBFloats : BFloats {};

constexpr int64_t kQueries = kAttentionQueries, kKeys = kAttentionKeys;

// c[r, 16 n ..] += sum_k a[r, k] · b[k, 16 n ..] for R rows and N registers of columns: the sums stay in registers.
template <class V, int R, int N>
void product_tile(float* c, int64_t c_row, const uint32_t* a, int64_t a_row, const uint32_t* b, int64_t b_row, int64_t words, bool add) {
  __m512 sum[R][N];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) sum[r][n] = add ? _mm512_loadu_ps(c + r * c_row + 16 * n) : _mm512_setzero_ps();
  }
  for (int64_t k = 0; k < words; ++k) {
    typename V::Vector column[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) column[n] = V::load(b + k * b_row + 16 * n);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const auto row = V::broadcast(a + r * a_row + k);
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) sum[r][n] = V::multiply_add(sum[r][n], row, column[n]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) _mm512_storeu_ps(c + r * c_row + 16 * n, sum[r][n]);
  }
}

template <class V, int R, int N, class... Arguments>
void last_rows(int64_t rows, Arguments... arguments) {
  if constexpr (R > 0) {
    if (rows == R) return product_tile<V, R, N>(arguments...);
    last_rows<V, R - 1, N>(rows, arguments...);
  }
}

template <class V, int R, int N>
void product_columns(float* c, int64_t c_row, const uint32_t* a, int64_t a_row, const uint32_t* b, int64_t b_row, int64_t rows, int64_t words, bool add) {
  int64_t r = 0;
  for (; r + R <= rows; r += R) product_tile<V, R, N>(c + r * c_row, c_row, a + r * a_row, a_row, b, b_row, words, add);
  last_rows<V, R - 1, N>(rows - r, c + r * c_row, c_row, a + r * a_row, a_row, b, b_row, words, add);
}

// c [rows, 16 · registers] (+)= a [rows, words] · b [words, 16 · registers of words]
template <class V>
void product(float* c, int64_t c_row, const uint32_t* a, int64_t a_row, const uint32_t* b, int64_t b_row, int64_t rows, int64_t registers, int64_t words,
             bool add) {
  if constexpr (std::is_same_v<V, TiledBFloats>) return word_product(c, c_row, a, a_row, b, b_row, rows, registers, words, add);
  for (int64_t n = 0; n < registers;) {
    const int64_t groups = (registers - n + 3) / 4, now = (registers - n + groups - 1) / groups;
    float* to = c + 16 * n;
    const uint32_t* from = b + 16 * n;
    if (now == 4) product_columns<V, 6, 4>(to, c_row, a, a_row, from, b_row, rows, words, add);
    if (now == 3) product_columns<V, 8, 3>(to, c_row, a, a_row, from, b_row, rows, words, add);
    if (now == 2) product_columns<V, 12, 2>(to, c_row, a, a_row, from, b_row, rows, words, add);
    if (now == 1) product_columns<V, 12, 1>(to, c_row, a, a_row, from, b_row, rows, words, add);
    n += now;
  }
}

// Sixteen words of one token: its channels from word w on, zeros behind `words`.
SARA_AVX512 __m512 channel_words(const void* token, int64_t w, int64_t words) {
  return _mm512_castsi512_ps(_mm512_maskz_loadu_epi32(first_lanes(words - w), static_cast<const uint32_t*>(token) + w));
}

// Sixteen words, each of one channel from c on: a float of token t, or the bf16 numbers of tokens t and t + 1. Zeros behind the ends.
template <class V>
SARA_AVX512 __m512 token_words(const typename V::Number* tokens, int64_t stride, int64_t t, int64_t count, int64_t c, int64_t channels) {
  const __mmask16 mask = first_lanes(channels - c);
  if constexpr (V::kPair == 1) {
    return t < count ? _mm512_maskz_loadu_ps(mask, tokens + t * stride + c) : _mm512_setzero_ps();
  } else {
    const auto half = [&](int64_t token) {
      return token < count ? _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, tokens + token * stride + c)) : _mm512_setzero_si512();
    };
    return _mm512_castsi512_ps(_mm512_or_si512(half(t), _mm512_slli_epi32(half(t + 1), 16)));
  }
}

// tokens -> [channel words, 16 · registers] : lanes are tokens, `count` of them, zeros behind.
template <class V>
void lay_tokens_across(uint32_t* to, int64_t to_row, const typename V::Number* tokens, int64_t stride, int64_t count, int64_t registers, int64_t channels) {
  const int64_t words = channels / V::kPair;
  for (int64_t n = 0; n < registers; ++n) {
    for (int64_t w = 0; w < words; w += 16) {
      __m512 row[16];
#pragma GCC unroll 16
      for (int t = 0; t < 16; ++t) row[t] = 16 * n + t < count ? channel_words(tokens + (16 * n + t) * stride, w, words) : _mm512_setzero_ps();
      turn(row);
      for (int64_t i = 0; i < 16 && w + i < words; ++i) _mm512_storeu_ps(to + (w + i) * to_row + 16 * n, row[i]);
    }
  }
}

// tokens -> [token words, 16 · registers]: lanes are channels, zeros behind them and behind the last token.
template <class V>
void lay_channels_across(uint32_t* to, int64_t to_row, const typename V::Number* tokens, int64_t stride, int64_t count, int64_t token_words_count,
                         int64_t channels) {
  for (int64_t t = 0; t < token_words_count; ++t)
    for (int64_t c = 0; c < to_row; c += 16) _mm512_storeu_ps(to + t * to_row + c, token_words<V>(tokens, stride, t * V::kPair, count, c, channels));
}

// tokens -> [channels, token words], rows of `to_row` words, a multiple of 16: zeros behind the last token.
template <class V>
void turn_tokens(uint32_t* to, int64_t to_row, const typename V::Number* tokens, int64_t stride, int64_t count, int64_t channels) {
  for (int64_t t = 0; t < to_row; t += 16) {
    for (int64_t c = 0; c < channels; c += 16) {
      __m512 row[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) row[i] = token_words<V>(tokens, stride, (t + i) * V::kPair, count, c, channels);
      turn(row);
      for (int64_t i = 0; i < 16 && c + i < channels; ++i) _mm512_storeu_ps(to + (c + i) * to_row + t, row[i]);
    }
  }
}

// Sums [channels, 16 · registers], lanes are tokens, each times its factor -> numbers of `count` tokens.
template <class V>
void store_turned(typename V::Number* tokens, int64_t stride, const float* sums, int64_t row_length, const float* factors, int64_t count, int64_t channels) {
  for (int64_t t = 0; t < count; t += 16) {
    const __m512 factor = _mm512_loadu_ps(factors + t);
    for (int64_t c = 0; c < channels; c += 16) {
      __m512 row[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) row[i] = c + i < channels ? _mm512_mul_ps(_mm512_loadu_ps(sums + (c + i) * row_length + t), factor) : _mm512_setzero_ps();
      turn(row);
      for (int64_t i = 0; i < 16 && t + i < count; ++i) V::store_numbers(first_lanes(channels - c), tokens + (t + i) * stride + c, row[i]);
    }
  }
}

// Two rows of sums as rows of pairs: word i is (a[i], b[i]) in bf16.
SARA_AVX512 __m512i paired(__m512 a, __m512 b) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(b, a)));
}

SARA_AVX512 int64_t rounded_up(int64_t count, int64_t unit) { return (count + unit - 1) / unit * unit; }

}  // namespace sara::avx512
