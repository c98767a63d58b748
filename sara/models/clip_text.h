// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/embedding.h"
#include "sara/layers/linear.h"
#include "sara/layers/norm.h"
#include "sara/models/clip_layer.h"
#include "sara/models/clip_text_config.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <vector>

namespace sara {

// What the families take from a text encoder.
struct ClipTextStates {
  torch::Tensor last;         // after the last layer and the final norm, [B, T, hidden_size]
  torch::Tensor penultimate;  // before the last layer, without the final norm, [B, T, hidden_size]
  torch::Tensor pooled;       // text_projection of `last` at the end of the caption, [B, projection_dim]; undefined without one
};

// The text encoder of Stable Diffusion 1.x and 2.x and the first two of XL and 3. Parameter names equal those of the
// published checkpoints, with `text_model.` in front, and text_projection.weight with a projection. The memory of the
// parameters is not initialised.
class ClipTextModel : public torch::nn::Module {
 public:
  // Throws InvalidArgument unless num_attention_heads divides hidden_size.
  explicit ClipTextModel(const ClipTextConfig& config, const torch::TensorOptions& options = {});

  // input_ids [B, T] int64, T ≤ max_position_embeddings -> the last hidden state after the final norm, [B, T,
  // hidden_size]. No padding mask, as the published pipelines. Throws InvalidArgument when an id is outside the
  // vocabulary or T too long.
  torch::Tensor forward(const torch::Tensor& input_ids) const;
  // All of them. With a projection it also throws InvalidArgument for a row without eos_token_id.
  ClipTextStates states(const torch::Tensor& input_ids) const;

  const ClipTextConfig& config() const { return config_; }

 private:
  torch::Tensor pooled(const torch::Tensor& last, const torch::Tensor& input_ids) const;

  ClipTextConfig config_;
  std::shared_ptr<Embedding> token_embedding_, position_embedding_;
  std::vector<std::shared_ptr<ClipLayer>> layers_;
  std::shared_ptr<LayerNorm> final_layer_norm_;
  std::shared_ptr<Linear> text_projection_;  // with_projection
};

}  // namespace sara
