// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/ops/sampled_convolution.h"

namespace sara {

// The weight gradient of a convolution at selected entries, whole pictures at a time, as many as fill the registers of a dot product: with rows of
// zeros between the pictures of both operands each entry is one such product. For small pictures, and large ones without windows (sampled_windows.h).
// As sampled_convolution_add_, of operands in a type that sampled products are made in (sampled_dtype()), contiguous.
void sampled_pictures_add_(const torch::Tensor& out, const SampledPositions& positions, const torch::Tensor& gradient, const torch::Tensor& input,
                           const ConvolutionShape& shape, float* sums);

}  // namespace sara
