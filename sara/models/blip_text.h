// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/embedding.h"
#include "sara/layers/linear.h"
#include "sara/layers/norm.h"
#include "sara/models/blip_config.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <vector>

namespace sara {

// BERT with a look at something else: word and position embeddings, normalised, through layers of self-attention,
// cross-attention to a context and a feed-forward network, each step x = LayerNorm(x + dense(...)). Names as under
// `text_encoder.` and `text_decoder.bert.` of published BLIP checkpoints.
class BlipTextModel : public torch::nn::Module {
 public:
  // `context_size`: width of the context.
  BlipTextModel(const BlipConfig::Text& config, int64_t context_size, const torch::TensorOptions& options);

  // ids [B, T] int64 without padding, context [B, S, context_size] -> [B, T, hidden_size]. `causal`: a position sees itself and
  // those before it. Throws InvalidArgument for more tokens than there are positions and for ids outside the vocabulary.
  torch::Tensor forward(const torch::Tensor& ids, const torch::Tensor& context, bool causal) const;

  const torch::Tensor& word_embeddings() const { return words_->weight; }

 private:
  struct Attention {
    std::shared_ptr<Linear> query, key, value, dense;
    std::shared_ptr<LayerNorm> norm;
  };
  struct Layer {
    Attention self, cross;
    std::shared_ptr<Linear> intermediate, output;
    std::shared_ptr<LayerNorm> norm;
  };
  Attention make_attention(const std::string& path, int64_t context_size, const torch::TensorOptions& options);
  torch::Tensor attended(const Attention& attention, const torch::Tensor& x, const torch::Tensor& context, bool causal) const;

  BlipConfig::Text config_;
  std::shared_ptr<Embedding> words_, positions_;
  std::shared_ptr<LayerNorm> norm_;
  std::vector<Layer> layers_;
};

}  // namespace sara
