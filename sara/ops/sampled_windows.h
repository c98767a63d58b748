// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/ops/sampled_convolution.h"

namespace sara {

// The weight gradient of a convolution at selected entries, a window of some rows of one picture at a time: the gradient is read where it
// lies, and the input's lines are made for as many channels as a core's second cache holds. For pictures that are large enough;
// small ones lie together, some pictures a dot product (convolution_factors).
bool windows_pay(at::ScalarType dtype, int64_t height, int64_t width, const ConvolutionShape& shape);

// gradient [B, out, H', W'], input [B, in, H, W], of one type that sampled products are made in (sampled_dtype()), contiguous, no wider than
// convolution_factors takes them; the rest as sampled_matmul_add_.
void sampled_windows_add_(const torch::Tensor& out, const torch::Tensor& indices, const torch::Tensor& row_starts, const torch::Tensor& gradient, const torch::Tensor& input,
                          const ConvolutionShape& shape);

}  // namespace sara
