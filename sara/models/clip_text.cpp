// SPDX-License-Identifier: Apache-2.0
#include "sara/models/clip_text.h"

#include "sara/base/error.h"
#include "sara/base/message.h"
#include "sara/layers/register_path.h"

#include <torch/types.h>

namespace sara {

ClipTextModel::ClipTextModel(const ClipTextConfig& config, const torch::TensorOptions& options) : config_(config) {
  const int64_t width = config.hidden_size;
  if (config.num_attention_heads < 1 || width % config.num_attention_heads != 0)
    throw InvalidArgument(message("CLIPTextModel config: \"num_attention_heads\" ", config.num_attention_heads,
                                  " does not divide \"hidden_size\" ", width, ". Fix: correct config.json"));
  token_embedding_ =
      make_at<Embedding>(*this, "text_model.embeddings.token_embedding", config.vocab_size, width, options);
  position_embedding_ = make_at<Embedding>(*this, "text_model.embeddings.position_embedding",
                                           config.max_position_embeddings, width, options);
  const ClipLayerShape shape{width, config.intermediate_size, config.num_attention_heads, config.hidden_act, config.layer_norm_eps, /*causal=*/true};
  for (int64_t i = 0; i < config.num_hidden_layers; ++i)
    layers_.push_back(make_at<ClipLayer>(*this, message("text_model.encoder.layers.", i), shape, options));
  final_layer_norm_ = make_at<LayerNorm>(*this, "text_model.final_layer_norm", width, config.layer_norm_eps, options);
  if (config.with_projection)
    text_projection_ = make_at<Linear>(*this, "text_projection", width, config.projection_dim, false, options);
}

ClipTextStates ClipTextModel::states(const torch::Tensor& input_ids) const {
  if (input_ids.dim() != 2 || input_ids.size(1) < 1 || input_ids.size(1) > config_.max_position_embeddings)
    throw InvalidArgument(message("CLIPTextModel: input_ids have the wrong shape (expected [B, 1 to ",
                                  config_.max_position_embeddings, "], got ", input_ids.sizes(),
                                  "). Fix: truncate the tokens to the model's length"));
  if (input_ids.numel() > 0 &&
      (input_ids.min().item<int64_t>() < 0 || input_ids.max().item<int64_t>() >= config_.vocab_size))
    throw InvalidArgument(message("CLIPTextModel: a token id is outside the vocabulary (expected 0 to ",
                                  config_.vocab_size - 1, "). Fix: use the tokenizer that belongs to this model"));
  // The position table is [max, width]; broadcasting its first T rows over the batch.
  auto x = token_embedding_->forward(input_ids) + position_embedding_->weight.narrow(0, 0, input_ids.size(1));
  ClipTextStates states;
  for (const auto& layer : layers_) {
    states.penultimate = x;
    x = layer->forward(x);
  }
  states.last = final_layer_norm_->forward(x);
  if (text_projection_) states.pooled = pooled(states.last, input_ids);
  return states;
}

torch::Tensor ClipTextModel::forward(const torch::Tensor& input_ids) const { return states(input_ids).last; }

torch::Tensor ClipTextModel::pooled(const torch::Tensor& last, const torch::Tensor& input_ids) const {
  const bool by_id = config_.eos_token_id != 2;
  const auto ends = input_ids.eq(config_.eos_token_id);
  if (by_id && !ends.any(1).all().item<bool>())
    throw InvalidArgument(message("CLIPTextModel: a row has no end token ", config_.eos_token_id,
                                  ". Fix: use the tokenizer that belongs to this model"));
  // The first of several, for padding may be the end token too.
  const auto place = (by_id ? ends.to(torch::kInt64) : input_ids).argmax(1);
  return text_projection_->forward(last.index({torch::arange(last.size(0), place.options()), place}));
}

}  // namespace sara
