// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/embedding.h"
#include "sara/models/clip_layer.h"
#include "sara/models/clip_vision_config.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <vector>

namespace sara {

// CLIP's image encoder, a CLIPVisionModelWithProjection: patches of a picture and one class token through a transformer;
// the class token, normalised and projected, is the picture's embedding. Parameter names equal those of the published
// checkpoints (`vision_model.`, visual_projection.weight; the layer in front of the first is spelt pre_layrnorm there). The
// memory of the parameters is not initialised.
class ClipVisionModel : public torch::nn::Module {
 public:
  explicit ClipVisionModel(const ClipVisionConfig& config, const torch::TensorOptions& options = {});

  // pixels [B, 3, image_size, image_size], normalised as the model's processor does -> [B, projection_dim], not of unit
  // length. Throws InvalidArgument for another shape.
  torch::Tensor forward(const torch::Tensor& pixels) const;

  const ClipVisionConfig& config() const { return config_; }

 private:
  ClipVisionConfig config_;
  torch::Tensor class_embedding_;  // [hidden_size]
  torch::Tensor patch_weight_;     // [hidden_size, 3, patch_size, patch_size], without a bias
  std::shared_ptr<Embedding> position_embedding_;
  std::shared_ptr<LayerNorm> pre_norm_, post_norm_;
  std::vector<std::shared_ptr<ClipLayer>> layers_;
  std::shared_ptr<Linear> visual_projection_;
};

}  // namespace sara
