// SPDX-License-Identifier: Apache-2.0
#include "sara/train/run_samples.h"

#include "sara/base/tensor_memory.h"
#include "sara/pipelines/text_to_video.h"
#include "sara/train/encoding.h"

namespace sara {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kFramesPerSecond = 8;

void draw_prompts(const FineTuneRequest& request, const ModelFolder& model, std::shared_ptr<Denoiser> denoiser, const fs::path& folder) {
  const auto parts = load_text_to_image(model, std::move(denoiser), text_dtype(request, model), t5_length(request, model));
  GenerateOptions options;
  options.steps = request.run.sample_steps;
  options.guidance = request.run.sample_guidance;
  options.seed = request.method.seed();
  if (parts.denoiser->inputs().max_frames) {
    options.num_frames = request.clips.num_frames;
    const auto clips = generate_clips(parts, request.run.sample_prompt, options);
    for (size_t i = 0; i < clips.size(); ++i) write_animated_png((folder / (std::to_string(i) + ".png")).string(), clips[i], kFramesPerSecond);
    return;
  }
  const auto images = generate_images(parts, request.run.sample_prompt, options);
  for (size_t i = 0; i < images.size(); ++i) write_png((folder / (std::to_string(i) + ".png")).string(), images[i]);
}

}  // namespace

void draw_samples(const FineTuneRequest& request, const ModelFolder& model, std::shared_ptr<Denoiser> denoiser, const fs::path& folder) {
  if (request.run.sample_prompt.empty()) return;
  fs::create_directories(folder);
  draw_prompts(request, model, std::move(denoiser), folder);
  give_back_free_memory();
}

std::string sample_folder_name(int64_t step) {
  const auto digits = std::to_string(step);
  return "step-" + std::string(digits.size() < 6 ? 6 - digits.size() : 0, '0') + digits;
}

ClassFolder draw_missing_class_pictures(const FineTuneRequest& request, const ModelFolder& model, std::shared_ptr<Denoiser> denoiser, const ClassFolder& folder) {
  GenerateOptions how;
  how.steps = request.run.sample_steps;
  how.guidance = request.run.sample_guidance;
  how.seed = request.method.seed();
  const auto parts = load_text_to_image(model, std::move(denoiser), text_dtype(request, model), t5_length(request, model));
  draw_class_pictures(parts, *request.subject.class_data, *request.subject.class_prompt, static_cast<int64_t>(folder.samples.size()), folder.missing, how);
  return read_class_folder(request.subject, request.images);
}

}  // namespace sara
