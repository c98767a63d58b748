// SPDX-License-Identifier: Apache-2.0
#include "sara/models/text_encoders.h"

#include "sara/base/error.h"
#include "sara/base/message.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <utility>

namespace sara {
namespace {

TextEncoders::Input input_of(const ClipTextModel& clip) {
  return {clip.config().vocab_size, clip.config().max_position_embeddings};
}

ClipTextStates states_of(const ClipTextModel& clip, const torch::Tensor& ids) {
  return clip.states(ids.to(clip.parameters().front().device()));
}

}  // namespace

SdTextEncoders::SdTextEncoders(std::shared_ptr<ClipTextModel> clip) : clip_(std::move(clip)) {}

TextConditions SdTextEncoders::encode(const std::vector<torch::Tensor>& ids) const {
  const torch::NoGradGuard no_grad;
  return {states_of(*clip_, ids.at(0)).last, {}};
}

std::vector<TextEncoders::Input> SdTextEncoders::inputs() const { return {input_of(*clip_)}; }

int64_t SdTextEncoders::text_width() const { return clip_->config().hidden_size; }

SdxlTextEncoders::SdxlTextEncoders(std::shared_ptr<ClipTextModel> clip_l, std::shared_ptr<ClipTextModel> clip_g)
    : clip_l_(std::move(clip_l)), clip_g_(std::move(clip_g)) {
  if (!clip_g_->config().with_projection)
    throw InvalidArgument("the second text encoder of SDXL has no projection. Fix: use a CLIPTextModelWithProjection");
}

TextConditions SdxlTextEncoders::encode(const std::vector<torch::Tensor>& ids) const {
  const torch::NoGradGuard no_grad;
  const auto l = states_of(*clip_l_, ids.at(0)), g = states_of(*clip_g_, ids.at(1));
  return {torch::cat({l.penultimate, g.penultimate}, 2), g.pooled};
}

std::vector<TextEncoders::Input> SdxlTextEncoders::inputs() const { return {input_of(*clip_l_), input_of(*clip_g_)}; }

int64_t SdxlTextEncoders::text_width() const { return clip_l_->config().hidden_size + clip_g_->config().hidden_size; }

int64_t SdxlTextEncoders::pooled_width() const { return clip_g_->config().projection_dim; }

Sd3TextEncoders::Sd3TextEncoders(std::shared_ptr<ClipTextModel> clip_l, std::shared_ptr<ClipTextModel> clip_g, std::shared_ptr<T5EncoderModel> t5,
                                 int64_t width, int64_t length)
    : clip_l_(std::move(clip_l)), clip_g_(std::move(clip_g)), t5_(std::move(t5)), width_(width), length_(length) {
  if (!clip_l_->config().with_projection || !clip_g_->config().with_projection)
    throw InvalidArgument("a CLIP text encoder of SD 3 has no projection. Fix: use a CLIPTextModelWithProjection");
  const int64_t clips = clip_l_->config().hidden_size + clip_g_->config().hidden_size;
  if (clips > width || (t5_ && t5_->config().d_model != width))
    throw InvalidArgument(message("the text encoders do not fit the denoiser (expected T5 of width ", width, " and both CLIPs together at most that, got ",
                                  t5_ ? t5_->config().d_model : width, " and ", clips, "). Fix: take all parts from one model"));
}

TextConditions Sd3TextEncoders::encode(const std::vector<torch::Tensor>& ids) const {
  const torch::NoGradGuard no_grad;
  const auto l = states_of(*clip_l_, ids.at(0)), g = states_of(*clip_g_, ids.at(1));
  const auto clips = torch::cat({l.penultimate, g.penultimate}, 2);
  const auto filled = at::constant_pad_nd(clips, {0, width_ - clips.size(2)});
  const auto rest = t5_ ? t5_->forward(ids.at(2).to(t5_->parameters().front().device())).to(clips.options())
                        : torch::zeros({clips.size(0), length_, width_}, clips.options());
  return {torch::cat({filled, rest}, 1), torch::cat({l.pooled, g.pooled}, 1)};
}

std::vector<TextEncoders::Input> Sd3TextEncoders::inputs() const {
  std::vector<Input> all{input_of(*clip_l_), input_of(*clip_g_)};
  if (t5_) all.push_back({t5_->config().vocab_size, length_});
  return all;
}

int64_t Sd3TextEncoders::pooled_width() const { return clip_l_->config().projection_dim + clip_g_->config().projection_dim; }

}  // namespace sara
