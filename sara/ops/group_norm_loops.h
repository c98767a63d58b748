// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/ops/vectorized.h"

namespace sara {

// The inner loops of group normalisation over one plane, a channel of one picture: `count` numbers, fp32 or bf16, arithmetic in fp32.

// z = scale · x + shift
struct ChannelLine {
  float scale, shift;
};

float sum_of_plane(const float* x, int64_t count);
float sum_of_plane(const bf16_bits* x, int64_t count);

// The sum of (x - mean)².
float squares_of_plane(float mean, const float* x, int64_t count);
float squares_of_plane(float mean, const bf16_bits* x, int64_t count);

// y = z, or with `silu` z · sigmoid(z).
void normalize_plane(float* y, const float* x, int64_t count, ChannelLine line, bool silu);
void normalize_plane(bf16_bits* y, const bf16_bits* x, int64_t count, ChannelLine line, bool silu);

// dz into `inner`, y into `output` unless that is null; returns the sums of dz and of dz · (x - mean).
struct PlaneSums {
  float gradient, product;
};
PlaneSums inner_gradient(float* inner, float* output, const float* gradient, const float* x, int64_t count, float mean, ChannelLine line, bool silu);
PlaneSums inner_gradient(float* inner, bf16_bits* output, const bf16_bits* gradient, const bf16_bits* x, int64_t count, float mean, ChannelLine line, bool silu);

// dx = of_inner · dz + of_x · (x - mean) + constant
void outer_gradient(float* out, const float* inner, const float* x, int64_t count, float mean, float of_inner, float of_x, float constant);
void outer_gradient(bf16_bits* out, const float* inner, const bf16_bits* x, int64_t count, float mean, float of_inner, float of_x, float constant);

}  // namespace sara
