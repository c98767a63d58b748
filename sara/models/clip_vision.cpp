// SPDX-License-Identifier: Apache-2.0
#include "sara/models/clip_vision.h"

#include "sara/base/error.h"
#include "sara/base/message.h"
#include "sara/layers/register_path.h"

#include <torch/types.h>

namespace sara {
namespace {

// Where parameters lie that belong to no layer of ours.
struct BareParameter : torch::nn::Module {
  BareParameter(const std::string& name, at::IntArrayRef shape, const torch::TensorOptions& options)
      : value(register_parameter(name, torch::empty(shape, options))) {}
  torch::Tensor value;
};

}  // namespace

ClipVisionModel::ClipVisionModel(const ClipVisionConfig& config, const torch::TensorOptions& options) : config_(config) {
  const int64_t width = config.hidden_size, patch = config.patch_size, side = config.image_size / patch;
  const std::string embeddings = "vision_model.embeddings";
  class_embedding_ = make_at<BareParameter>(*this, embeddings, "class_embedding", at::IntArrayRef{width}, options)->value;
  patch_weight_ =
      make_at<BareParameter>(*this, embeddings + ".patch_embedding", "weight", at::IntArrayRef{width, 3, patch, patch}, options)->value;
  position_embedding_ = make_at<Embedding>(*this, embeddings + ".position_embedding", side * side + 1, width, options);
  pre_norm_ = make_at<LayerNorm>(*this, "vision_model.pre_layrnorm", width, config.layer_norm_eps, options);
  const ClipLayerShape shape{width, config.intermediate_size, config.num_attention_heads, config.hidden_act, config.layer_norm_eps};
  for (int64_t i = 0; i < config.num_hidden_layers; ++i)
    layers_.push_back(make_at<ClipLayer>(*this, message("vision_model.encoder.layers.", i), shape, options));
  post_norm_ = make_at<LayerNorm>(*this, "vision_model.post_layernorm", width, config.layer_norm_eps, options);
  visual_projection_ = make_at<Linear>(*this, "visual_projection", width, config.projection_dim, false, options);
}

torch::Tensor ClipVisionModel::forward(const torch::Tensor& pixels) const {
  const int64_t side = config_.image_size;
  if (pixels.dim() != 4 || pixels.size(1) != 3 || pixels.size(2) != side || pixels.size(3) != side)
    throw InvalidArgument(message("CLIPVisionModelWithProjection: pixels have the wrong shape (expected [B, 3, ", side, ", ", side, "], got ",
                                  pixels.sizes(), "). Fix: resize and crop the picture to the model's size"));
  const auto patches = at::conv2d(pixels, patch_weight_, {}, config_.patch_size).flatten(2).transpose(1, 2);
  const auto first = class_embedding_.expand({pixels.size(0), 1, config_.hidden_size});
  auto x = pre_norm_->forward(at::cat({first, patches}, 1) + position_embedding_->weight);
  for (const auto& layer : layers_) x = layer->forward(x);
  return visual_projection_->forward(post_norm_->forward(x.select(1, 0)));
}

}  // namespace sara
