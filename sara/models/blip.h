// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/models/blip_text.h"
#include "sara/models/blip_vision.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>

namespace sara {

// BLIP that answers questions about a picture (Li et al. 2022), under the names of a published BlipForQuestionAnswering: an image
// encoder, an encoder that reads the question with a look at the picture, and a decoder that writes the answer with a look at
// the question. The decoder's output weights are its word embeddings (text_decoder.cls.predictions.decoder of older files is a copy).
// The memory of the parameters is not initialised.
class BlipForQuestionAnswering : public torch::nn::Module {
 public:
  explicit BlipForQuestionAnswering(const BlipConfig& config, const torch::TensorOptions& options = {});

  // pixels [B, 3, image_size, image_size] -> what is seen, [B, 1 + patches, hidden_size].
  torch::Tensor seen(const torch::Tensor& pixels) const { return vision_->forward(pixels); }

  // Logits of the word behind each word of the answer, [B, A, vocab_size], for question ids [B, T] (the first one
  // text.question_token_id()) and answer ids [B, A] (the first one text.bos_token_id); neither padded.
  torch::Tensor answer_logits(const torch::Tensor& seen, const torch::Tensor& question_ids, const torch::Tensor& answer_ids) const;

  const BlipConfig& config() const { return config_; }

 private:
  BlipConfig config_;
  std::shared_ptr<BlipVisionModel> vision_;
  std::shared_ptr<BlipTextModel> encoder_, decoder_;
  torch::Tensor head_bias_;  // [vocab_size]
  std::shared_ptr<Linear> head_dense_;
  std::shared_ptr<LayerNorm> head_norm_;
};

}  // namespace sara
