// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/ops/sampled_convolution.h"

namespace sara {

// The weight gradient of a convolution at selected entries, a window of some rows of one picture at a time: the gradient is read where it
// lies. For pictures that are large enough and whose windows begin at whole registers.
bool windows_pay(at::ScalarType dtype, int64_t height, int64_t width, const ConvolutionShape& shape);

// As sampled_convolution_add_, of operands in a type that sampled products are made in (sampled_dtype()), contiguous.
void sampled_windows_add_(const torch::Tensor& out, const SampledPositions& positions, const torch::Tensor& gradient, const torch::Tensor& input,
                          const ConvolutionShape& shape, float* sums);

}  // namespace sara
