// SPDX-License-Identifier: Apache-2.0
// The specification of the sampled dot products, compiled for AVX2 and for any processor.
#include "sara/ops/processor.h"
#include "sara/ops/sampled_dots.h"
#include "sara/ops/vectorized.h"

namespace sara {
namespace {

template <class T>
void turn_block(T* lines, int64_t line, const T* tokens, int64_t token, uint32_t wanted, float* sums) {
  for (int64_t c = 0; c < kTurnBlock<T>; ++c) {
    if (wanted >> c & 1)
      for (int64_t t = 0; t < kTurnBlock<T>; ++t) lines[c * line + t] = tokens[t * token + c];
    if (!sums) continue;
    float sum = 0;
    for (int64_t t = 0; t < kTurnBlock<T>; ++t) sum += load(tokens + t * token + c);
    sums[c] += sum;
  }
}

}  // namespace

#if defined(__x86_64__)
__attribute__((target_clones("arch=x86-64-v3", "default")))
#endif
void sampled_dots_portable(float* sums, const float* row, const float* right, const int64_t* column_starts, const int32_t* indices, int32_t first,
                           int64_t count, int64_t length) {
  constexpr int64_t kLanes = 8;  // independent sums, which a compiler may keep in one register
  for (int64_t k = 0; k < count; ++k) {
    const float* column = right + column_starts[indices[k] - first];
    float lanes[kLanes] = {};
    for (int64_t i = 0; i < length; i += kLanes) {
#pragma omp simd
      for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += row[i + lane] * column[i + lane];
    }
    float sum = 0;
    for (const float lane : lanes) sum += lane;
    sums[k] += sum;
  }
}

#if defined(__x86_64__)
SampledDots<float> sampled_dots_f32() { return has_avx512() ? sampled_dots_avx512 : sampled_dots_portable; }
SampledDots<uint16_t> sampled_dots_bf16() { return has_avx512_bf16() ? sampled_dots_avx512_bf16 : nullptr; }
TurnBlock<float> turn_block_f32() { return has_avx512() ? TurnBlock<float>(turn_block_avx512) : turn_block<float>; }
TurnBlock<uint16_t> turn_block_bf16() { return has_avx512() ? TurnBlock<uint16_t>(turn_block_avx512) : turn_block<uint16_t>; }
#else
SampledDots<float> sampled_dots_f32() { return sampled_dots_portable; }
SampledDots<uint16_t> sampled_dots_bf16() { return nullptr; }
TurnBlock<float> turn_block_f32() { return turn_block<float>; }
TurnBlock<uint16_t> turn_block_bf16() { return turn_block<uint16_t>; }
#endif

at::ScalarType sampled_dtype(at::ScalarType dtype) { return dtype == at::kBFloat16 && sampled_dots_bf16() ? at::kBFloat16 : at::kFloat; }

}  // namespace sara
