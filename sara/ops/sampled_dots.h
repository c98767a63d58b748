// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>

namespace sara {

// One row of a sampled product: sums[k] += sum_i row[i] · right[column_starts[indices[k] - first] + i] for k < count, over a
// fixed `length` of at most kDotsLength<T> numbers. fp32 sums; bf16 numbers as their bits.
template <class T>
using SampledDots = void (*)(float* sums, const T* row, const T* right, const int64_t* column_starts, const int32_t* indices,
                             int32_t first, int64_t count, int64_t length);

// Eighteen registers: a line of four pictures of 8 x 8 in fp32 is one.
template <class T>
constexpr int64_t kDotsLength = 1152 / sizeof(T);

// What the lengths of all dot products are a multiple of.
constexpr int64_t kSampledLanes = 32;

// The type in which sampled products of `dtype` are computed here: itself, or fp32 for fp16 and where the processor has no products of
// bf16 numbers.
at::ScalarType sampled_dtype(at::ScalarType dtype);

// The fastest variant that this processor runs.
SampledDots<float> sampled_dots_f32();
SampledDots<uint16_t> sampled_dots_bf16();  // nullptr where the processor has no products of bf16 numbers

// A block of as many tokens and channels as 64 bytes hold, turned: lines[c · line + t] = tokens[t · token + c] for c, t < kTurnBlock<T>, of the channels
// whose bit is set in `wanted`; the other lines are left alone. sums, where it is not null: sums[c] += sum_t tokens[t · token + c], of all channels.
template <class T>
constexpr int64_t kTurnBlock = 64 / sizeof(T);
template <class T>
using TurnBlock = void (*)(T* lines, int64_t line, const T* tokens, int64_t token, uint32_t wanted, float* sums);
TurnBlock<float> turn_block_f32();
TurnBlock<uint16_t> turn_block_bf16();

// The variants.
void turn_block_avx512(float*, int64_t, const float*, int64_t, uint32_t, float*);
void turn_block_avx512(uint16_t*, int64_t, const uint16_t*, int64_t, uint32_t, float*);
void sampled_dots_portable(float*, const float*, const float*, const int64_t*, const int32_t*, int32_t, int64_t, int64_t);
void sampled_dots_avx512(float*, const float*, const float*, const int64_t*, const int32_t*, int32_t, int64_t, int64_t);
void sampled_dots_avx512_bf16(float*, const uint16_t*, const uint16_t*, const int64_t*, const int32_t*, int32_t, int64_t, int64_t);

}  // namespace sara
