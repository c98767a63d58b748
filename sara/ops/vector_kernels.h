// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sara/cuda/adamw_factors.h"

namespace sara {

// The inner loops of the optimizer on plain memory, compiled for AVX-512, AVX2 and the baseline and chosen when the program
// starts. Every operation rounds by itself (no fused multiply-add), so all three give the same bits.

// One AdamW update of count entries (the formula is in ops/adamw_step.h). target: what decay pulls to, or null for zero.
void update_adamw(float* values, const float* gradient, float* exp_avg, float* exp_avg_sq, const float* target, int64_t count, const AdamWFactors& factors);

// fp32 to bf16 and fp16 bits, to nearest even, and back.
void round_to_bfloat16(const float* from, uint16_t* to, int64_t count);
void round_to_half(const float* from, uint16_t* to, int64_t count);
void widen_bfloat16(const uint16_t* from, float* to, int64_t count);
void widen_half(const uint16_t* from, float* to, int64_t count);

// The sum of squares in fp64, over sixteen interleaved partial sums.
double sum_of_squares(const float* from, int64_t count);

// Moments in one byte each, one block of at most 256 with its scale (sparse/eight_bit.h): codes to fp32, and fp32 to codes with the scale
// as the result. first: the position of the first number, for the draws of this key.
void widen_signed_codes(const int8_t* from, float scale, float* to, int64_t count);
void widen_unsigned_codes(const uint8_t* from, float scale, float* to, int64_t count);
float round_to_signed_codes(const float* from, int8_t* to, int64_t count, uint32_t first, uint32_t key);
float round_to_unsigned_codes(const float* from, uint8_t* to, int64_t count, uint32_t first, uint32_t key);

}  // namespace sara
