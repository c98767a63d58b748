// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/ops/sampled_convolution.h"

namespace sara {

// The two products of a convolution that SaRA needs at every step. x [B, in, H, W], weight [out, in, kernel, kernel],
// bias [out] or undefined -> [B, out, H', W'].
//
// Kernels of 3 × 3 with stride 1 and padding 1 go by Winograd's algorithm where `winograd_pays` (ops/winograd.h) says so. Where few
// positions meet a large weight (the low resolutions of a denoiser), both are one matrix product with the weight as it lies in memory:
// torch's convolution would first bring the weight into an order of its own, at every call, which takes longer than the product. Kernels of
// 1 × 1 in bf16 are products of planes where the processor's own products of bf16 are slow, and of tokens where it has tile registers. All else is
// torch's, there with the channels of large maps together; and so are its errors where x and weight do not fit together.
torch::Tensor convolution(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, const ConvolutionShape& shape);
torch::Tensor convolution_input_gradient(const torch::Tensor& gradient, const torch::Tensor& weight, at::IntArrayRef input_sizes, const ConvolutionShape& shape);

}  // namespace sara
