// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "sara/pipelines/text_to_image.h"

namespace sara {

// The frames of one clip, in their order.
using Clip = std::vector<Image>;

// Clip `index` is ready. Prompt p, clip i has index p * num_images + i; they come in this order.
using ClipSink = std::function<void(int64_t index, Clip clip)>;

// draw_pictures for a denoiser with motion modules: num_images clips of num_frames frames for each prompt. All frames are
// denoised together, from one draw of noise [1, C, frames, h, w], and decoded one by one. One prompt gives the clip that
// diffusers' AnimateDiffPipeline gives for the same generator.
// Throws as draw_pictures, and InvalidArgument for a denoiser of pictures or more frames than it knows.
void draw_clips(const TextToImageParts& parts, const TextConditions& with_prompt, const TextConditions& without_prompt,
                const GenerateOptions& options, const ClipSink& sink, const DrawProgress& progress = {});

// All of it, prompts to clips.
std::vector<Clip> generate_clips(const TextToImageParts& parts, const std::vector<std::string>& prompts, const GenerateOptions& options);

}  // namespace sara
