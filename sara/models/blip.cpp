// SPDX-License-Identifier: Apache-2.0
#include "sara/models/blip.h"

#include "sara/layers/register_path.h"

#include <torch/types.h>

namespace sara {
namespace {

struct WordBias : torch::nn::Module {
  WordBias(int64_t words, const torch::TensorOptions& options) : value(register_parameter("bias", torch::empty({words}, options))) {}
  torch::Tensor value;
};

}  // namespace

BlipForQuestionAnswering::BlipForQuestionAnswering(const BlipConfig& config, const torch::TensorOptions& options) : config_(config) {
  const int64_t width = config.text.hidden_size;
  vision_ = make_at<BlipVisionModel>(*this, "vision_model", config.vision, options);
  encoder_ = make_at<BlipTextModel>(*this, "text_encoder", config.text, config.vision.hidden_size, options);
  decoder_ = make_at<BlipTextModel>(*this, "text_decoder.bert", config.text, config.vision.hidden_size, options);
  const std::string head = "text_decoder.cls.predictions";
  head_bias_ = make_at<WordBias>(*this, head, config.text.vocab_size, options)->value;
  head_dense_ = make_at<Linear>(*this, head + ".transform.dense", width, width, true, options);
  head_norm_ = make_at<LayerNorm>(*this, head + ".transform.LayerNorm", width, config.text.layer_norm_eps, options);
}

torch::Tensor BlipForQuestionAnswering::answer_logits(const torch::Tensor& seen, const torch::Tensor& question_ids, const torch::Tensor& answer_ids) const {
  const auto question = encoder_->forward(question_ids, seen, /*causal=*/false);
  const auto answer = decoder_->forward(answer_ids, question, /*causal=*/true);
  return at::linear(head_norm_->forward(at::gelu(head_dense_->forward(answer))), decoder_->word_embeddings(), head_bias_);
}

}  // namespace sara
