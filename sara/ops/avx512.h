// SPDX-License-Identifier: Apache-2.0
// What the kernels in 512-bit registers share. To be included between the two pragma headers of those files, which compile
// for AVX-512: everything here is inlined into them.
//
// A word is 32 bits: one fp32 number, or a pair of bf16 numbers. Products of words look alike for both: sum += a · b for
// floats, sum += a0 · b0 + a1 · b1 for pairs; sums are fp32.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace sara::avx512 {

#define SARA_AVX512 inline __attribute__((always_inline))

struct Floats {
  using Number = float;
  using Vector = __m512;
  static constexpr int64_t kLanes = 16, kPair = 1;  // numbers in a register, in a word
  static SARA_AVX512 Vector load(const void* at) { return _mm512_loadu_ps(at); }
  static SARA_AVX512 Vector broadcast(const uint32_t* at) { return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(*at))); }
  static SARA_AVX512 __m512 multiply_add(__m512 sum, Vector a, Vector b) { return _mm512_fmadd_ps(a, b, sum); }
  // Sixteen numbers as floats, and back; those outside the mask are zero, and are not written.
  static SARA_AVX512 __m512 load_numbers(__mmask16 mask, const float* at) { return _mm512_maskz_loadu_ps(mask, at); }
  static SARA_AVX512 void store_numbers(__mmask16 mask, float* at, __m512 values) { _mm512_mask_storeu_ps(at, mask, values); }
};

struct BFloats {
  using Number = uint16_t;
  using Vector = __m512bh;
  static constexpr int64_t kLanes = 32, kPair = 2;
  static SARA_AVX512 Vector load(const void* at) { return reinterpret_cast<Vector>(_mm512_loadu_si512(at)); }
  static SARA_AVX512 Vector broadcast(const uint32_t* at) { return reinterpret_cast<Vector>(_mm512_set1_epi32(static_cast<int>(*at))); }
  static SARA_AVX512 __m512 multiply_add(__m512 sum, Vector a, Vector b) { return _mm512_dpbf16_ps(sum, a, b); }
  static SARA_AVX512 __m512 load_numbers(__mmask16 mask, const uint16_t* at) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, at)), 16));
  }
  static SARA_AVX512 void store_numbers(__mmask16 mask, uint16_t* at, __m512 values) {
    _mm256_mask_storeu_epi16(at, mask, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(values)));
  }
};

SARA_AVX512 __mmask16 first_lanes(int64_t count) { return static_cast<__mmask16>(count >= 16 ? 0xffffu : (1u << count) - 1); }

// The transpose of sixteen rows of sixteen words.
SARA_AVX512 void turn(__m512 (&row)[16]) {
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

// e^x within 2 units of the last place, for x up to 88; below -87 it gives e^-87. NaN stays NaN.
SARA_AVX512 __m512 exp(__m512 x) {
  x = _mm512_max_ps(_mm512_set1_ps(-87.0f), x);
  const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504088896341f)), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);  // ln 2 in two parts
  r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
  __m512 p = _mm512_set1_ps(1.9875691500e-4f);
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1f));
  p = _mm512_add_ps(_mm512_fmadd_ps(p, _mm512_mul_ps(r, r), r), _mm512_set1_ps(1.0f));
  return _mm512_scalef_ps(p, n);
}

}  // namespace sara::avx512
