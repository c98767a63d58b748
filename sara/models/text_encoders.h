// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/models/clip_text.h"
#include "sara/models/t5.h"

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace sara {

// What prompts become before a denoiser sees them.
struct TextConditions {
  torch::Tensor text;    // [B, T, D], attended to
  torch::Tensor pooled;  // [B, P], one vector a prompt (SDXL, SD3); undefined in SD 1.x and 2.x
};

// The text encoders of one family, behind its tokenizers.
class TextEncoders {
 public:
  // What one tokenizer may give: ids below `vocabulary`, at most `positions` of them.
  struct Input {
    int64_t vocabulary = 0, positions = 0;
  };

  virtual ~TextEncoders() = default;
  // ids: one [B, T] int64 for each of inputs(), on any device. Computed in the encoders' dtype, without gradients.
  virtual TextConditions encode(const std::vector<torch::Tensor>& ids) const = 0;
  virtual std::vector<Input> inputs() const = 0;
  virtual int64_t text_width() const = 0;
  virtual int64_t pooled_width() const = 0;  // 0: none
};

// SD 1.x and 2.x: the last hidden state after the final norm.
class SdTextEncoders : public TextEncoders {
 public:
  explicit SdTextEncoders(std::shared_ptr<ClipTextModel> clip);
  TextConditions encode(const std::vector<torch::Tensor>& ids) const override;
  std::vector<Input> inputs() const override;
  int64_t text_width() const override;
  int64_t pooled_width() const override { return 0; }

 private:
  std::shared_ptr<ClipTextModel> clip_;
};

// SDXL: the penultimate states of both side by side, 768 + 1280; pooled is the second's projection.
class SdxlTextEncoders : public TextEncoders {
 public:
  // Throws InvalidArgument when the second has no projection.
  SdxlTextEncoders(std::shared_ptr<ClipTextModel> clip_l, std::shared_ptr<ClipTextModel> clip_g);
  TextConditions encode(const std::vector<torch::Tensor>& ids) const override;
  std::vector<Input> inputs() const override;
  int64_t text_width() const override;
  int64_t pooled_width() const override;

 private:
  std::shared_ptr<ClipTextModel> clip_l_, clip_g_;
};

// SD 3: the penultimate states of both CLIPs side by side, filled with zeros to the width of T5, then T5's states behind
// them along the sequence; pooled is both CLIPs' projections side by side. T5 is optional: without it zeros stand there.
class Sd3TextEncoders : public TextEncoders {
 public:
  // width: of the denoiser's text. length: tokens that T5 reads, or zeros in its place.
  // Throws InvalidArgument when a CLIP has no projection or an encoder is wider than `width`.
  Sd3TextEncoders(std::shared_ptr<ClipTextModel> clip_l, std::shared_ptr<ClipTextModel> clip_g, std::shared_ptr<T5EncoderModel> t5,
                  int64_t width, int64_t length);
  TextConditions encode(const std::vector<torch::Tensor>& ids) const override;
  std::vector<Input> inputs() const override;
  int64_t text_width() const override { return width_; }
  int64_t pooled_width() const override;

 private:
  std::shared_ptr<ClipTextModel> clip_l_, clip_g_;
  std::shared_ptr<T5EncoderModel> t5_;  // may be null
  int64_t width_, length_;
};

}  // namespace sara
