// SPDX-License-Identifier: Apache-2.0
#include "sara/pipelines/text_to_video.h"

#include <torch/types.h>

#include "sara/base/error.h"

namespace sara {

void draw_clips(const TextToImageParts& parts, const TextConditions& with_prompt, const TextConditions& without_prompt, const GenerateOptions& options,
                const ClipSink& sink, const DrawProgress& progress) {
  if (!parts.denoiser->inputs().max_frames) throw InvalidArgument("this model makes pictures, not clips. Fix: add --motion-adapter");
  const auto decoded = [&](int64_t index, const torch::Tensor& latents) {
    Clip clip;
    for (const auto& frame : latents.unbind(2)) clip.push_back(decoded_picture(*parts.vae, frame));
    sink(index, std::move(clip));
  };
  draw_latents(parts, with_prompt, without_prompt, options, decoded, progress);
}

std::vector<Clip> generate_clips(const TextToImageParts& parts, const std::vector<std::string>& prompts, const GenerateOptions& options) {
  std::vector<Clip> clips;
  if (prompts.empty()) return clips;
  const auto with = prompt_conditions(parts.text, prompts);
  const auto without = parts.guidance(options) > 1 ? negative_conditions(parts.text, options.negative_prompt) : TextConditions();
  draw_clips(parts, with, without, options, [&](int64_t, Clip clip) { clips.push_back(std::move(clip)); });
  return clips;
}

}  // namespace sara
