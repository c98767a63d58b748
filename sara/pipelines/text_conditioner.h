// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <memory>
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

// Throws BadFile, also when a tokenizer's ids or length do not fit its encoder.
TextConditioner load_text_conditioner(const ModelFolder& model, c10::ScalarType dtype, c10::Device device = c10::kCPU);

// Identity of all its encoders' weights, for caches of what they give.
std::string text_encoders_hash(const ModelFolder& model);

}  // namespace sara
