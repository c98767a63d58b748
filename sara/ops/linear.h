// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// y = x Wᵀ + b, [..., in] -> [..., out], W [out, in], b [out] or undefined. Keeps x. W and b may be of another type than x: they are rounded to it, their gradients are not. Of W and b, backward computes the gradients
// that are wanted (weight_gradient.h).
torch::Tensor linear(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias);

}  // namespace sara
