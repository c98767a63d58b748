// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "sara/ops/sampled_matmul.h"

namespace sara {

struct ConvolutionShape {
  int64_t kernel = 3, stride = 1, padding = 1;  // square
};

// The factors of a convolution's weight gradient dW[o, c, kh, kw] = sum_{b,h,w} dy[b, o, h, w] x[b, c, h·stride + kh - padding,
// w·stride + kw - padding]. With zeros between the pictures of both, each entry is one dot product of neighbouring numbers: the
// planes of dy[o] with what column kw of the kernel sees of x[c], from an offset that depends on kh alone. So both begin at whole
// registers wherever the width is a multiple of one. A stride s deals the rows of x out to s lines.
// gradient [B, out, H', W'], input [B, in, H, W]. None for geometries that this does not fit (a kernel without its padding).
std::optional<SampledFactors> convolution_factors(const torch::Tensor& gradient, const torch::Tensor& input, const ConvolutionShape& shape);

// Adds the entries of that gradient at `indices` (as sampled_matmul_add_) to `out`, some pictures at a time. False, and nothing added,
// for geometries that do not fit.
bool sampled_convolution_add_(const torch::Tensor& out, const torch::Tensor& indices, const torch::Tensor& row_starts, const torch::Tensor& gradient, const torch::Tensor& input,
                              const ConvolutionShape& shape);

}  // namespace sara
