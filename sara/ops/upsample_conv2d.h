// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "sara/ops/convolution.h"

namespace sara {

// A convolution of x enlarged to height x width by nearest neighbour. x [B, in, H, W] -> [B, out, height, width]. Keeps x as it
// was before it grew.
torch::Tensor upsample_conv2d(const torch::Tensor& x, int64_t height, int64_t width, const torch::Tensor& weight, const torch::Tensor& bias, const ConvolutionShape& shape);

}  // namespace sara
