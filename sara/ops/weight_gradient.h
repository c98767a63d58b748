// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "sara/ops/sampled_convolution.h"
#include "sara/ops/sampled_linear.h"

namespace sara {

// The gradients of a layer's parameters, each computed as far as it is wanted and no further (Sec. 4.4, Eq. 7-8):
//   frozen (requires_grad false)           nothing; an undefined tensor
//   captured (sparse/capture.h)            the active entries, added to the compact gradient; an undefined tensor
//   trained as a whole                     the dense gradient in the parameter's dtype
// Captured entries are computed one by one (sampled_matmul.h) up to the density where a dense product is cheaper; beyond it
// the dense product is made in tiles of some rows, so that no dense gradient exists either way.

// weight [out, in], gradient [K, out], input [K, in].
torch::Tensor linear_weight_gradient(const torch::Tensor& weight, TokenOperand& gradient, TokenOperand& input);

// weight [out, in, kernel, kernel], gradient [B, out, H', W'], input [B, in, H, W].
torch::Tensor convolution_weight_gradient(const torch::Tensor& weight, const torch::Tensor& gradient, const torch::Tensor& input, const ConvolutionShape& shape);

// A gradient that is computed whole because it is small (biases, norms): gathered, or given back in the parameter's dtype.
torch::Tensor small_gradient(const torch::Tensor& parameter, const torch::Tensor& gradient);

// Whether any gradient of `parameter` (which may be undefined) is wanted.
inline bool is_trained(const torch::Tensor& parameter) { return parameter.defined() && parameter.requires_grad(); }

}  // namespace sara
