// SPDX-License-Identifier: Apache-2.0
// Attention of one head, forward: scores lie with keys as rows and queries as lanes, so that the softmax of sixteen queries is
// arithmetic on whole registers. Keys pass in blocks; the running maximum and sum make up for what later blocks bring.
#include "sara/ops/attention_kernel.h"

#include <cmath>

#if defined(__x86_64__)
#include <immintrin.h>

#include <type_traits>

#include "sara/ops/matrix_tiles.h"

#include "sara/ops/avx512_begin.h"

#include "sara/ops/attention_tiles.h"

namespace sara {
namespace {

using namespace avx512;

// Memory of one head, one piece behind the other.
template <class V>
struct ForwardWork {
  float *scores, *sums, *maximum, *total;
  uint32_t *queries, *shares, *values;
  int64_t value_row;

  ForwardWork(const HeadShape& shape, float* work) : value_row(rounded_up((shape.keys + V::kPair - 1) / V::kPair, 16)) {
    scores = work;
    shares = reinterpret_cast<uint32_t*>(V::kPair == 1 ? scores : scores + kKeys * kQueries);
    sums = scores + 2 * kKeys * kQueries;
    queries = reinterpret_cast<uint32_t*>(sums + shape.channels * kQueries);
    maximum = sums + 2 * shape.channels * kQueries;
    total = maximum + kQueries;
    values = reinterpret_cast<uint32_t*>(total + kQueries);
  }
};

// Scores of `keys` keys to their shares of the softmax so far, in the words that the next product takes; what earlier blocks
// left in total and sums is scaled to the new maximum.
template <class V>
void take_shares(const ForwardWork<V>& work, const HeadShape& shape, int64_t keys, int64_t registers) {
  const __m512 scale = _mm512_set1_ps(shape.scale);
  for (int64_t n = 0; n < registers; ++n) {
    float* scores = work.scores + 16 * n;
    const __m512 before = _mm512_loadu_ps(work.maximum + 16 * n);
    __m512 maximum = before;
    for (int64_t j = 0; j < keys; ++j) maximum = _mm512_max_ps(maximum, _mm512_mul_ps(_mm512_loadu_ps(scores + j * kQueries), scale));
    const __m512 kept = exp(_mm512_sub_ps(before, maximum));
    __m512 total = _mm512_mul_ps(_mm512_loadu_ps(work.total + 16 * n), kept);
    const auto share = [&](int64_t j) {
      const __m512 value = exp(_mm512_fmsub_ps(_mm512_loadu_ps(scores + j * kQueries), scale, maximum));
      total = _mm512_add_ps(total, value);
      return value;
    };
    uint32_t* shares = work.shares + 16 * n;
    for (int64_t j = 0; j < keys; j += V::kPair) {
      if constexpr (V::kPair == 1) {
        _mm512_storeu_ps(shares + j * kQueries, share(j));
      } else {
        const __m512 first = share(j), second = j + 1 < keys ? share(j + 1) : _mm512_setzero_ps();
        _mm512_storeu_si512(shares + j / 2 * kQueries, paired(first, second));
      }
    }
    _mm512_storeu_ps(work.total + 16 * n, total);
    _mm512_storeu_ps(work.maximum + 16 * n, maximum);
    for (int64_t c = 0; c < shape.channels; ++c) {
      float* sum = work.sums + c * kQueries + 16 * n;
      _mm512_storeu_ps(sum, _mm512_mul_ps(_mm512_loadu_ps(sum), kept));
    }
  }
}

template <class V>
void attend_head(const HeadShape& shape, const typename V::Number* q, const typename V::Number* k, const typename V::Number* v, typename V::Number* values,
             float* log_sum, float* memory) {
  const ForwardWork<V> work(shape, memory);
  const int64_t channel_words = shape.channels / V::kPair;
  turn_tokens<V>(work.values, work.value_row, v, shape.stride, shape.keys, shape.channels);
  for (int64_t first = 0; first < shape.queries; first += kQueries) {
    const int64_t count = shape.queries - first < kQueries ? shape.queries - first : kQueries, registers = (count + 15) / 16;
    lay_tokens_across<V>(work.queries, kQueries, q + first * shape.stride, shape.stride, count, registers, shape.channels);
    for (int64_t i = 0; i < kQueries; ++i) work.maximum[i] = -INFINITY, work.total[i] = 0;
    for (int64_t i = 0; i < shape.channels * kQueries; ++i) work.sums[i] = 0;
    for (int64_t key = 0; key < shape.keys; key += kKeys) {
      const int64_t keys = shape.keys - key < kKeys ? shape.keys - key : kKeys;
      product<V>(work.scores, kQueries, reinterpret_cast<const uint32_t*>(k + key * shape.stride), shape.stride / V::kPair, work.queries, kQueries, keys,
                 registers, channel_words, false);
      take_shares(work, shape, keys, registers);
      product<V>(work.sums, kQueries, work.values + key / V::kPair, work.value_row, work.shares, kQueries, shape.channels, registers,
                 (keys + V::kPair - 1) / V::kPair, true);
    }
    for (int64_t i = 0; i < count; ++i) log_sum[first + i] = work.maximum[i] + std::log(work.total[i]);
    for (int64_t i = 0; i < kQueries; ++i) work.total[i] = 1 / work.total[i];
    store_turned<V>(values + first * shape.stride, shape.stride, work.sums, kQueries, work.total, count, shape.channels);
  }
}

}  // namespace

void attend_head_avx512(const HeadShape& shape, const float* q, const float* k, const float* v, float* values, float* log_sum, float* work) {
  attend_head<Floats>(shape, q, k, v, values, log_sum, work);
}
void attend_head_avx512(const HeadShape& shape, const uint16_t* q, const uint16_t* k, const uint16_t* v, uint16_t* values, float* log_sum, float* work) {
  attend_head<BFloats>(shape, q, k, v, values, log_sum, work);
}
void attend_head_tiles(const HeadShape& shape, const uint16_t* q, const uint16_t* k, const uint16_t* v, uint16_t* values, float* log_sum, float* work) {
  const TileRegisters registers;
  attend_head<TiledBFloats>(shape, q, k, v, values, log_sum, work);
}

}  // namespace sara

#include "sara/ops/avx512_end.h"
#endif
