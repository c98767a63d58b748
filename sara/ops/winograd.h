// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// The 3 × 3 convolution of stride 1 and padding 1 by Winograd's F(2 × 2, 3 × 3) (Lavin and Gray, "Fast Algorithms for Convolutional
// Neural Networks", 2015): 16 products where the definition takes 36. Its error is two to five times that of the
// direct sum in fp32, up to 2e-6 of the result. Numbers of bf16 are read and written as such, everything between is fp32.

// Whether both functions below are the fastest way here, for x [B, in, H, W] and a weight [out, in, 3, 3] of its type. `pictures`,
// `height` and `width` are of the result.
bool winograd_pays(const torch::Tensor& weight, int64_t pictures, int64_t height, int64_t width);

// x [B, in, H, W], weight [out, in, 3, 3], bias [out] or undefined -> [B, out, H, W]
torch::Tensor winograd_convolution(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias);

// gradient [B, out, H, W], weight [out, in, 3, 3] -> [B, in, H, W]
torch::Tensor winograd_input_gradient(const torch::Tensor& gradient, const torch::Tensor& weight);

}  // namespace sara
