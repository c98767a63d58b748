// SPDX-License-Identifier: Apache-2.0
#include "sara/models/blip_vision.h"

#include "sara/base/error.h"
#include "sara/base/message.h"
#include "sara/layers/attention.h"
#include "sara/layers/register_path.h"

#include <torch/types.h>

namespace sara {
namespace {

struct VisionTables : torch::nn::Module {
  VisionTables(int64_t positions, int64_t width, const torch::TensorOptions& options)
      : first(register_parameter("class_embedding", torch::empty({1, 1, width}, options))),
        position(register_parameter("position_embedding", torch::empty({1, positions, width}, options))) {}
  torch::Tensor first, position;
};

struct Patches : torch::nn::Module {
  Patches(int64_t width, int64_t patch, const torch::TensorOptions& options)
      : weight(register_parameter("weight", torch::empty({width, 3, patch, patch}, options))),
        bias(register_parameter("bias", torch::empty({width}, options))) {}
  torch::Tensor weight, bias;
};

}  // namespace

BlipVisionModel::BlipVisionModel(const BlipConfig::Vision& config, const torch::TensorOptions& options) : config_(config) {
  const int64_t width = config.hidden_size, inner = config.intermediate_size, side = config.image_size / config.patch_size;
  const auto tables = make_at<VisionTables>(*this, "embeddings", side * side + 1, width, options);
  class_embedding_ = tables->first;
  position_embedding_ = tables->position;
  const auto patches = make_at<Patches>(*this, "embeddings.patch_embedding", width, config.patch_size, options);
  patch_weight_ = patches->weight;
  patch_bias_ = patches->bias;
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    const std::string at = message("encoder.layers.", i, ".");
    Layer layer;
    layer.norm1 = make_at<LayerNorm>(*this, at + "layer_norm1", width, config.layer_norm_eps, options);
    layer.qkv = make_at<Linear>(*this, at + "self_attn.qkv", width, 3 * width, true, options);
    layer.projection = make_at<Linear>(*this, at + "self_attn.projection", width, width, true, options);
    layer.norm2 = make_at<LayerNorm>(*this, at + "layer_norm2", width, config.layer_norm_eps, options);
    layer.fc1 = make_at<Linear>(*this, at + "mlp.fc1", width, inner, true, options);
    layer.fc2 = make_at<Linear>(*this, at + "mlp.fc2", inner, width, true, options);
    layers_.push_back(layer);
  }
  post_norm_ = make_at<LayerNorm>(*this, "post_layernorm", width, config.layer_norm_eps, options);
}

torch::Tensor BlipVisionModel::forward(const torch::Tensor& pixels) const {
  const int64_t side = config_.image_size;
  if (pixels.dim() != 4 || pixels.size(1) != 3 || pixels.size(2) != side || pixels.size(3) != side)
    throw InvalidArgument(message("BlipForQuestionAnswering: pixels have the wrong shape (expected [B, 3, ", side, ", ", side, "], got ", pixels.sizes(),
                                  "). Fix: resize the picture to the model's size"));
  const auto patches = at::conv2d(pixels, patch_weight_, patch_bias_, config_.patch_size).flatten(2).transpose(1, 2);
  auto x = at::cat({class_embedding_.expand({pixels.size(0), 1, config_.hidden_size}), patches}, 1) + position_embedding_;
  for (const auto& layer : layers_) {
    const auto qkv = layer.qkv->forward(layer.norm1->forward(x)).chunk(3, 2);
    x = x + layer.projection->forward(multi_head_attention(qkv[0], qkv[1], qkv[2], config_.num_attention_heads));
    x = x + layer.fc2->forward(at::gelu(layer.fc1->forward(layer.norm2->forward(x))));
  }
  return post_norm_->forward(x);
}

}  // namespace sara
