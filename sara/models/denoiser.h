// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/ops/memory_level.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>
#include <optional>

namespace sara {

// What some families add to the timestep's embedding beside the text that is attended to.
struct AddedConditions {
  torch::Tensor pooled_text;  // [B, P] one vector a prompt (SDXL, SD3)
  torch::Tensor time_ids;     // [B, 6] original height and width, crop top and left, target height and width (SDXL)
};

// What a denoiser is fed.
struct DenoiserInputs {
  int64_t latent_channels = 0;
  std::optional<int64_t> sample_size;  // side of the latents a pipeline makes by default
  int64_t patch = 1;                   // sides of the latents must be multiples of it
  int64_t text_width = 0;              // D of the text
  int64_t pooled_width = 0;            // P of the pooled text; 0: it takes none
  bool time_ids = false;
  std::optional<int64_t> max_frames = {};  // it answers clips of at most this many frames; none: pictures
};

// The size of one forward pass.
struct PassSize {
  int64_t batch = 1;                // pictures or clips
  int64_t height = 64, width = 64;  // of the latents
  int64_t text_tokens = 77;
  int64_t element_size = 4;  // bytes a number of the model's dtype
  int64_t frames = 1;        // of a clip
};

// A network that answers noisy latents: what training and pipelines need to know of every family.
class Denoiser : public torch::nn::Module {
 public:
  // sample [B, latent_channels, h, w] and text [B, T, D] in the model's dtype, timestep [B] of any number type -> like
  // sample. With max_frames the sample is [B, latent_channels, frames, h, w]. Throws InvalidArgument on other shapes, and for added conditions that are missing or that it does not take.
  virtual torch::Tensor forward(const torch::Tensor& sample, const torch::Tensor& timestep, const torch::Tensor& text,
                                const AddedConditions& added = {}) const = 0;

  virtual DenoiserInputs inputs() const = 0;

  // What its blocks keep for the backward pass; n0 unless set.
  virtual void set_memory_level(MemoryLevel level) = 0;
  // Bytes kept between forward and backward when all weights are trained (memory_plan.h).
  virtual int64_t kept_bytes(const PassSize& size, MemoryLevel level) const = 0;
};

}  // namespace sara
