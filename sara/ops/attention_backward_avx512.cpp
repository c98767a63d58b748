// SPDX-License-Identifier: Apache-2.0
// Attention of one head, backward. For a block of queries and one of keys, with keys as rows and queries as lanes:
// p = exp(scale · k qᵀ - log_sum), ds = scale · p · (v gradientᵀ - delta), delta[t] = values[t] · gradient[t]; then
// of_v += p gradient, of_k += ds q, of_q += dsᵀ k. Five products, all of words.
#include "sara/ops/attention_kernel.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <type_traits>

#include "sara/ops/matrix_tiles.h"

#include "sara/ops/avx512_begin.h"

#include "sara/ops/attention_tiles.h"

namespace sara {
namespace {

using namespace avx512;

// Memory of one head, one piece behind the other. "across": laid out with tokens or channels as lanes.
template <class V>
struct BackwardWork {
  float *scores, *slopes, *of_q, *of_k, *of_v, *log_sum, *delta, *ones;
  uint32_t *share_rows, *slope_rows, *slope_words;  // p and ds as the next products take them
  uint32_t *q_tokens_across, *gradient_tokens_across, *q_channels_across, *gradient_channels_across, *k_turned;
  int64_t key_words, lanes;  // of k_turned; channels rounded up

  BackwardWork(const HeadShape& shape, float* work) : key_words(rounded_up((shape.keys + V::kPair - 1) / V::kPair, 16)), lanes(rounded_up(shape.channels, 16)) {
    constexpr int64_t kTile = kKeys * kQueries;
    const auto floats = [&work](int64_t count) {
      float* at = work;
      work += count;
      return at;
    };
    const auto words = [&](int64_t count) { return reinterpret_cast<uint32_t*>(floats(count)); };
    scores = floats(kTile);
    slopes = floats(kTile);
    share_rows = V::kPair == 1 ? reinterpret_cast<uint32_t*>(scores) : words(kTile / V::kPair);
    slope_rows = V::kPair == 1 ? reinterpret_cast<uint32_t*>(slopes) : words(kTile / V::kPair);
    slope_words = V::kPair == 1 ? slope_rows : words(kTile / V::kPair);
    q_tokens_across = words(shape.channels / V::kPair * kQueries);
    gradient_tokens_across = words(shape.channels / V::kPair * kQueries);
    q_channels_across = words(lanes * kQueries / V::kPair);
    gradient_channels_across = words(lanes * kQueries / V::kPair);
    k_turned = words(shape.channels * key_words);
    of_q = floats(shape.channels * kQueries);
    of_k = floats(shape.keys * lanes);
    of_v = floats(shape.keys * lanes);
    log_sum = floats(kQueries);
    delta = floats(kQueries);
    ones = floats(kQueries);
  }
};

// scores and slopes (v gradientᵀ) of a block to p and ds.
template <class V>
void take_slopes(const BackwardWork<V>& work, const HeadShape& shape, int64_t keys, int64_t registers) {
  const __m512 scale = _mm512_set1_ps(shape.scale);
  for (int64_t n = 0; n < registers; ++n) {
    const __m512 log_sum = _mm512_loadu_ps(work.log_sum + 16 * n), delta = _mm512_loadu_ps(work.delta + 16 * n);
    const auto share = [&](int64_t j) { return exp(_mm512_fmsub_ps(_mm512_loadu_ps(work.scores + j * kQueries + 16 * n), scale, log_sum)); };
    const auto slope = [&](int64_t j, __m512 p) {
      return _mm512_mul_ps(_mm512_mul_ps(p, scale), _mm512_sub_ps(_mm512_loadu_ps(work.slopes + j * kQueries + 16 * n), delta));
    };
    for (int64_t j = 0; j < keys; j += V::kPair) {
      const __m512 p = share(j), ds = slope(j, p);
      if constexpr (V::kPair == 1) {
        _mm512_storeu_ps(work.scores + j * kQueries + 16 * n, p);
        _mm512_storeu_ps(work.slopes + j * kQueries + 16 * n, ds);
      } else {
        const bool more = j + 1 < keys;
        const __m512 next_p = more ? share(j + 1) : _mm512_setzero_ps(), next_ds = more ? slope(j + 1, next_p) : _mm512_setzero_ps();
        const auto store = [&](uint32_t* rows, int64_t row, __m512 values) { V::store_numbers(0xffff, reinterpret_cast<uint16_t*>(rows) + row * kQueries + 16 * n, values); };
        store(work.share_rows, j, p);
        store(work.slope_rows, j, ds);
        if (more) {
          store(work.share_rows, j + 1, next_p);
          store(work.slope_rows, j + 1, next_ds);
        }
        _mm512_storeu_si512(work.slope_words + j / 2 * kQueries + 16 * n, paired(ds, next_ds));
      }
    }
  }
}

// Of the queries [first, first + count): all that the products need, zeros behind the last one.
template <class V>
void lay_out_queries(const BackwardWork<V>& work, const HeadShape& shape, const HeadGradient<typename V::Number>& at, int64_t first, int64_t count, int64_t registers) {
  const int64_t from = first * shape.stride, words = registers * 16 / V::kPair;
  lay_tokens_across<V>(work.q_tokens_across, kQueries, at.q + from, shape.stride, count, registers, shape.channels);
  lay_tokens_across<V>(work.gradient_tokens_across, kQueries, at.gradient + from, shape.stride, count, registers, shape.channels);
  lay_channels_across<V>(work.q_channels_across, work.lanes, at.q + from, shape.stride, count, words, shape.channels);
  lay_channels_across<V>(work.gradient_channels_across, work.lanes, at.gradient + from, shape.stride, count, words, shape.channels);
  for (int64_t t = 0; t < kQueries; ++t) {
    __m512 sum = _mm512_setzero_ps();
    for (int64_t c = 0; t < count && c < shape.channels; c += 16) {
      const __mmask16 mask = first_lanes(shape.channels - c);
      const int64_t place = from + t * shape.stride + c;
      sum = _mm512_fmadd_ps(V::load_numbers(mask, at.values + place), V::load_numbers(mask, at.gradient + place), sum);
    }
    work.delta[t] = _mm512_reduce_add_ps(sum);
    work.log_sum[t] = t < count ? at.log_sum[first + t] : 0;
  }
}

template <class V>
void attend_head_backward(const HeadShape& shape, const HeadGradient<typename V::Number>& at, float* memory) {
  const BackwardWork<V> work(shape, memory);
  const int64_t channel_words = shape.channels / V::kPair, stride_words = shape.stride / V::kPair, query_words = kQueries / V::kPair;
  turn_tokens<V>(work.k_turned, work.key_words, at.k, shape.stride, shape.keys, shape.channels);
  for (int64_t i = 0; i < kQueries; ++i) work.ones[i] = 1;
  for (int64_t first = 0; first < shape.queries; first += kQueries) {
    const int64_t count = shape.queries - first < kQueries ? shape.queries - first : kQueries, registers = (count + 15) / 16, words = registers * 16 / V::kPair;
    lay_out_queries(work, shape, at, first, count, registers);
    for (int64_t key = 0; key < shape.keys; key += kKeys) {
      const int64_t keys = shape.keys - key < kKeys ? shape.keys - key : kKeys, place = key * shape.stride;
      const auto rows = [place](const typename V::Number* tokens) { return reinterpret_cast<const uint32_t*>(tokens + place); };
      product<V>(work.scores, kQueries, rows(at.k), stride_words, work.q_tokens_across, kQueries, keys, registers, channel_words, false);
      product<V>(work.slopes, kQueries, rows(at.v), stride_words, work.gradient_tokens_across, kQueries, keys, registers, channel_words, false);
      take_slopes(work, shape, keys, registers);
      product<V>(work.of_v + key * work.lanes, work.lanes, work.share_rows, query_words, work.gradient_channels_across, work.lanes, keys, work.lanes / 16, words, first > 0);
      product<V>(work.of_k + key * work.lanes, work.lanes, work.slope_rows, query_words, work.q_channels_across, work.lanes, keys, work.lanes / 16, words, first > 0);
      product<V>(work.of_q, kQueries, work.k_turned + key / V::kPair, work.key_words, work.slope_words, kQueries, shape.channels, registers,
                 (keys + V::kPair - 1) / V::kPair, key > 0);
    }
    store_turned<V>(at.of_q + first * shape.stride, shape.stride, work.of_q, kQueries, work.ones, count, shape.channels);
  }
  for (int64_t j = 0; j < shape.keys; ++j) {
    for (int64_t c = 0; c < shape.channels; c += 16) {
      const __mmask16 mask = first_lanes(shape.channels - c);
      V::store_numbers(mask, at.of_k + j * shape.stride + c, _mm512_loadu_ps(work.of_k + j * work.lanes + c));
      V::store_numbers(mask, at.of_v + j * shape.stride + c, _mm512_loadu_ps(work.of_v + j * work.lanes + c));
    }
  }
}

}  // namespace

void attend_head_backward_avx512(const HeadShape& shape, const HeadGradient<float>& at, float* work) { attend_head_backward<Floats>(shape, at, work); }
void attend_head_backward_avx512(const HeadShape& shape, const HeadGradient<uint16_t>& at, float* work) { attend_head_backward<BFloats>(shape, at, work); }
void attend_head_backward_tiles(const HeadShape& shape, const HeadGradient<uint16_t>& at, float* work) {
  const TileRegisters registers;
  attend_head_backward<TiledBFloats>(shape, at, work);
}

}  // namespace sara

#include "sara/ops/avx512_end.h"
#endif
