// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "sara/ops/convolution.h"

namespace sara {

// A convolution, keeping x. x [B, in, H, W] -> [B, out, H', W'].
torch::Tensor conv2d(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, const ConvolutionShape& shape);

struct GroupNormParameters {
  torch::Tensor weight, bias;  // [in]
  int64_t groups = 32;
  double eps = 1e-5;
  bool silu = true;  // y = SiLU(norm(x)), else the norm alone
};

// conv2d(SiLU(group_norm(x))) + shift + residual, keeping x and the norm's statistics: the convolution's own input is made
// again in backward. `shift` [B, out] is added to every position of a picture, `residual` [B, out, H', W'] as it is; either may
// be undefined.
torch::Tensor norm_conv2d(const torch::Tensor& x, const GroupNormParameters& norm, const torch::Tensor& weight, const torch::Tensor& bias,
                          const ConvolutionShape& shape, const torch::Tensor& shift = {}, const torch::Tensor& residual = {});

}  // namespace sara
