// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/linear.h"
#include "sara/layers/norm.h"
#include "sara/models/blip_config.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <vector>

namespace sara {

// BLIP's image encoder, a vision transformer: patches of a picture behind one class token, each layer
//   x += projection(attention(qkv(layer_norm1(x)))); x += fc2(gelu(fc1(layer_norm2(x)))),
// all states normalised at the end. Names as under `vision_model.` of published checkpoints.
class BlipVisionModel : public torch::nn::Module {
 public:
  BlipVisionModel(const BlipConfig::Vision& config, const torch::TensorOptions& options);

  // pixels [B, 3, image_size, image_size], normalised as the model's processor does -> [B, 1 + patches, hidden_size].
  // Throws InvalidArgument for another shape.
  torch::Tensor forward(const torch::Tensor& pixels) const;

 private:
  struct Layer {
    std::shared_ptr<LayerNorm> norm1, norm2;
    std::shared_ptr<Linear> qkv, projection, fc1, fc2;
  };

  BlipConfig::Vision config_;
  torch::Tensor class_embedding_;     // [1, 1, hidden_size]
  torch::Tensor position_embedding_;  // [1, 1 + patches, hidden_size]
  torch::Tensor patch_weight_, patch_bias_;
  std::vector<Layer> layers_;
  std::shared_ptr<LayerNorm> post_norm_;
};

}  // namespace sara
