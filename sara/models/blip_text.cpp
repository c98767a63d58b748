// SPDX-License-Identifier: Apache-2.0
#include "sara/models/blip_text.h"

#include "sara/base/error.h"
#include "sara/base/message.h"
#include "sara/layers/attention.h"
#include "sara/layers/register_path.h"

#include <torch/types.h>

namespace sara {

BlipTextModel::BlipTextModel(const BlipConfig::Text& config, int64_t context_size, const torch::TensorOptions& options) : config_(config) {
  const int64_t width = config.hidden_size;
  words_ = make_at<Embedding>(*this, "embeddings.word_embeddings", config.vocab_size, width, options);
  positions_ = make_at<Embedding>(*this, "embeddings.position_embeddings", config.max_position_embeddings, width, options);
  norm_ = make_at<LayerNorm>(*this, "embeddings.LayerNorm", width, config.layer_norm_eps, options);
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    const std::string at = message("encoder.layer.", i, ".");
    Layer layer;
    layer.self = make_attention(at + "attention", width, options);
    layer.cross = make_attention(at + "crossattention", context_size, options);
    layer.intermediate = make_at<Linear>(*this, at + "intermediate.dense", width, config.intermediate_size, true, options);
    layer.output = make_at<Linear>(*this, at + "output.dense", config.intermediate_size, width, true, options);
    layer.norm = make_at<LayerNorm>(*this, at + "output.LayerNorm", width, config.layer_norm_eps, options);
    layers_.push_back(layer);
  }
}

BlipTextModel::Attention BlipTextModel::make_attention(const std::string& path, int64_t context_size, const torch::TensorOptions& options) {
  const int64_t width = config_.hidden_size;
  Attention out;
  out.query = make_at<Linear>(*this, path + ".self.query", width, width, true, options);
  out.key = make_at<Linear>(*this, path + ".self.key", context_size, width, true, options);
  out.value = make_at<Linear>(*this, path + ".self.value", context_size, width, true, options);
  out.dense = make_at<Linear>(*this, path + ".output.dense", width, width, true, options);
  out.norm = make_at<LayerNorm>(*this, path + ".output.LayerNorm", width, config_.layer_norm_eps, options);
  return out;
}

torch::Tensor BlipTextModel::attended(const Attention& attention, const torch::Tensor& x, const torch::Tensor& context, bool causal) const {
  const auto seen = multi_head_attention(attention.query->forward(x), attention.key->forward(context), attention.value->forward(context),
                                         config_.num_attention_heads, causal);
  return attention.norm->forward(attention.dense->forward(seen) + x);
}

torch::Tensor BlipTextModel::forward(const torch::Tensor& ids, const torch::Tensor& context, bool causal) const {
  if (ids.dim() != 2 || ids.size(1) < 1 || ids.size(1) > config_.max_position_embeddings)
    throw InvalidArgument(message("BlipForQuestionAnswering: ids have the wrong shape (expected [B, 1 to ", config_.max_position_embeddings, "], got ", ids.sizes(),
                                  "). Fix: truncate the tokens to the model's length"));
  if (ids.numel() > 0 && (ids.min().item<int64_t>() < 0 || ids.max().item<int64_t>() >= config_.vocab_size))
    throw InvalidArgument(message("BlipForQuestionAnswering: a token id is outside the vocabulary (expected 0 to ", config_.vocab_size - 1,
                                  "). Fix: use the tokenizer that belongs to this model"));
  auto x = norm_->forward(words_->forward(ids) + positions_->weight.narrow(0, 0, ids.size(1)));
  for (const auto& layer : layers_) {
    x = attended(layer.self, x, x, causal);
    x = attended(layer.cross, x, context, false);
    x = layer.norm->forward(layer.output->forward(at::gelu(layer.intermediate->forward(x))) + x);
  }
  return x;
}

}  // namespace sara
