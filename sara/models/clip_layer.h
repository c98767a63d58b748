// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/activation.h"
#include "sara/layers/linear.h"
#include "sara/layers/norm.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>

namespace sara {

struct ClipLayerShape {
  int64_t hidden_size = 0, intermediate_size = 0, num_attention_heads = 1;
  Activation activation = Activation::quick_gelu;
  double layer_norm_eps = 1e-5;
  bool causal = false;  // the text encoder's: a position sees itself and those before it
};

// x += out_proj(attention(layer_norm1(x))); x += fc2(activation(fc1(layer_norm2(x)))). All biases present.
class ClipLayer : public torch::nn::Module {
 public:
  ClipLayer(const ClipLayerShape& shape, const torch::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x) const;  // [B, T, hidden_size]

 private:
  ClipLayerShape shape_;
  std::shared_ptr<LayerNorm> norm1_, norm2_;
  std::shared_ptr<Linear> q_proj_, k_proj_, v_proj_, out_proj_, fc1_, fc2_;
};

}  // namespace sara
