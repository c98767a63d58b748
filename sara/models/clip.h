// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/models/clip_text.h"
#include "sara/models/clip_vision.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>

namespace sara {

// The config.json of a CLIPModel: both encoders' configs and the width of the space they share.
struct ClipConfig {
  ClipTextConfig text;
  ClipVisionConfig vision;

  // Older files repeat keys in "text_config_dict" and "vision_config_dict", which then count. Throws InvalidArgument naming
  // the key.
  static ClipConfig from_json(const Json& json);
};

// CLIP whole, under the names of a published CLIPModel: `text_model.`, text_projection.weight, `vision_model.`,
// visual_projection.weight, logit_scale. A picture and a text that belong together have embeddings of high cosine.
class ClipModel : public torch::nn::Module {
 public:
  explicit ClipModel(const ClipConfig& config, const torch::TensorOptions& options = {});

  const ClipTextModel& text() const { return *text_; }
  const ClipVisionModel& vision() const { return *vision_; }

  // input_ids [B, T] or pixels [B, 3, image_size, image_size] -> [B, projection_dim], not of unit length.
  torch::Tensor text_embeddings(const torch::Tensor& input_ids) const { return text_->states(input_ids).pooled; }
  torch::Tensor image_embeddings(const torch::Tensor& pixels) const { return vision_->forward(pixels); }

 private:
  std::shared_ptr<ClipTextModel> text_;
  std::shared_ptr<ClipVisionModel> vision_;
};

}  // namespace sara
