// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "sara/ops/sampled_entries.h"

namespace sara {

struct ConvolutionShape {
  int64_t kernel = 3, stride = 1, padding = 1;  // square
};

// Adds the entries of a convolution's weight gradient dW[o, c, kh, kw] = sum_{b,h,w} dy[b, o, h, w] x[b, c, h·stride + kh - padding, w·stride + kw - padding]
// at `positions` to `out`, as sampled_linear_add_ does. Each is a sum of dot products of neighbouring numbers: the planes of dy[o] with what column kw
// of the kernel sees of x[c], from an offset that depends on kh alone (kernel_lines.h).
// gradient [B, out, H', W'], input [B, in, H, W]. The gradient's sums over positions, for a bias, are added to `sums` [B, out], fp32, where that is defined.
// False, and nothing added, for geometries that this does not fit (a kernel without its padding).
bool sampled_convolution_add_(const torch::Tensor& out, const SampledPositions& positions, const torch::Tensor& gradient, const torch::Tensor& input, const ConvolutionShape& shape,
                              const torch::Tensor& sums = {});

}  // namespace sara
