// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "sara/ops/sampled_matmul.h"

namespace sara {

// Token-major numbers [tokens, channels] turned so that each channel's lie together: [channels, length], length the tokens
// rounded up to kSampledLanes, zeros behind, in the type of sampled_dtype().
torch::Tensor channel_lines(const torch::Tensor& tokens);
torch::Tensor channel_lines_of_map(const torch::Tensor& map);  // the same from [B, channels, ...]

// The factors of a linear layer's weight gradient dW[o, i] = sum_t dy[t, o] x[t, i], from the channel lines of both.
SampledFactors linear_factors(const torch::Tensor& gradient_lines, const torch::Tensor& input_lines);

struct ConvolutionShape {
  int64_t kernel = 3, stride = 1, padding = 1;  // square
};

// The factors of a convolution's weight gradient dW[o, c, kh, kw] = sum_{b,h,w} dy[b, o, h, w] x[b, c, h·stride + kh - padding,
// w·stride + kw - padding]. With zeros between the rows and pictures of both, each entry is one dot product of neighbouring
// numbers: a plane of dy with a plane of x from an offset that depends on (kh, kw). A stride s splits x into s² planes.
// gradient [B, out, H', W'], input [B, in, H, W]. None for geometries that this does not fit (a kernel without its padding).
std::optional<SampledFactors> convolution_factors(const torch::Tensor& gradient, const torch::Tensor& input, const ConvolutionShape& shape);

}  // namespace sara
