// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "sara/ops/norm_conv2d.h"

namespace sara {

// The way from a feature map into tokens and back: 1x1 convolutions, or linear layers, which are the same thing, that read one
// layout and write the other without a copy between. Weights are [out, in] or [out, in, 1, 1].

// projection(group_norm(x)): x [B, in, H, W] -> [B, H W, out]. Keeps x and the norm's statistics.
torch::Tensor map_to_tokens(const torch::Tensor& x, const GroupNormParameters& norm, const torch::Tensor& weight, const torch::Tensor& bias);

// projection(tokens) + residual: tokens [B, H W, in], residual [B, out, H, W] -> [B, out, H, W]. Keeps the tokens.
torch::Tensor tokens_to_map(const torch::Tensor& tokens, const torch::Tensor& weight, const torch::Tensor& bias, const torch::Tensor& residual);

}  // namespace sara
