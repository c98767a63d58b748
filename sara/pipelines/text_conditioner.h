// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <memory>
#include <optional>
#include <string>

#include "sara/models/text_encoders.h"
#include "sara/tokenizers/joint.h"
#include "sara/weights/model_folder.h"

namespace sara {

// Captions to what the denoiser is told: the tokenizers and text encoders of a model.
struct TextConditioner {
  std::shared_ptr<JointTokenizer> tokenizer;
  std::shared_ptr<TextEncoders> encoders;
  // An absent (negative) prompt is zeros instead of the encoded empty text: force_zeros_for_empty_prompt of SDXL.
  bool zeros_when_absent = false;

  // ids [B, tokenizer->max_length()] int64 on any device.
  TextConditions encode(const torch::Tensor& ids) const;
};

// max_sequence_length: tokens that SD 3's T5 reads; the published pipeline's 256 when not given. T5 overflows in fp16 and
// is loaded in bf16 instead. Throws BadFile, also when a tokenizer's ids or length do not fit its encoder, and
// InvalidArgument for a max_sequence_length with another family.
TextConditioner load_text_conditioner(const ModelFolder& model, c10::ScalarType dtype, c10::Device device = c10::kCPU,
                                      std::optional<int64_t> max_sequence_length = std::nullopt);

// Identity of all its encoders' weights, for caches of what they give.
std::string text_encoders_hash(const ModelFolder& model);

}  // namespace sara
