// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <vector>

#include "sara/ops/sampled_convolution.h"
#include "sara/ops/sampled_linear.h"

namespace sara {

// The gradients of a layer's parameters, each computed as far as it is wanted and no further (Sec. 4.4, Eq. 7-8):
//   frozen (requires_grad false)           nothing; an undefined tensor
//   captured (sparse/capture.h)            the active entries, added to the compact gradient; an undefined tensor
//   trained as a whole                     the dense gradient in the parameter's dtype
// Captured entries are computed one by one (sampled_linear.h, sampled_convolution.h) up to the density where a dense product is cheaper; beyond it
// the dense product is made in tiles of some rows, so that no dense gradient exists either way.

// One of the linear layers that read the same input: weight [out, in], gradient [K, out].
struct LinearLayer {
  const torch::Tensor& weight;
  TokenOperand& gradient;
  bool has_trained_bias = false;
};
struct LinearGradients {
  torch::Tensor weight;
  torch::Tensor sums;  // [out], fp32: of the gradient over tokens, where the bias is trained
};

// input [K, in]; null where it was not kept, because no weight was trained in the forward pass: none gets a gradient then.
std::vector<LinearGradients> linear_gradients(const std::vector<LinearLayer>& layers, TokenOperand* input);
LinearGradients linear_gradients(const LinearLayer& layer, TokenOperand* input);

struct ConvolutionGradients {
  torch::Tensor weight;
  torch::Tensor sums;  // [B, out], fp32: of the gradient over positions, where they are wanted
};

// weight [out, in, kernel, kernel], gradient [B, out, H', W'], input [B, in, H, W]; undefined where it was not kept.
ConvolutionGradients convolution_gradients(const torch::Tensor& weight, const torch::Tensor& gradient, const torch::Tensor& input, const ConvolutionShape& shape, bool with_sums);

// A gradient that is computed whole because it is small (biases, norms): gathered, or given back in the parameter's dtype. Nothing of a frozen one, whose
// gradient may be undefined.
torch::Tensor small_gradient(const torch::Tensor& parameter, const torch::Tensor& gradient);

// Whether any gradient of `parameter` (which may be undefined) is wanted.
inline bool is_trained(const torch::Tensor& parameter) { return parameter.defined() && parameter.requires_grad(); }

}  // namespace sara
