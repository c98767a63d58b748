// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "sara/base/options.h"
#include "sara/files/image.h"
#include "sara/models/denoiser.h"
#include "sara/models/vae.h"
#include "sara/pipelines/text_conditioner.h"
#include "sara/samplers/registry.h"
#include "sara/weights/model_folder.h"

namespace sara {

// How pictures are drawn from prompts.
//
// Noise: image i of every prompt has its own CPU generator with seed `seed + i`; initial latents are its first draws, in
// fp32, [1, C, h, w] or, for a clip, [1, C, frames, h, w]. So every prompt sees the same noise, an image does not depend on the batch it is in, and one prompt gives the
// picture that diffusers gives for generator = torch.Generator().manual_seed(seed + i), on the CPU and on a GPU.
struct GenerateOptions {
  std::optional<std::string> sampler;
  int64_t steps = 30;
  std::optional<double> guidance;
  int64_t seed = 0;
  int64_t num_images = 1;
  double eta = 0.0;
  std::optional<int64_t> width, height;
  std::optional<std::string> negative_prompt;
  std::optional<int64_t> num_frames;
  std::optional<int64_t> batch_size;
  std::optional<int64_t> max_sequence_length;

  template <class V>
  void visit(V&& v) {
    v("sampler", sampler, "How noise becomes a picture (default: ddim; SDXL: euler; SD 3: flow_match)", one_of(sampler_names()));
    v("steps", steps, "Denoising steps", between(1, 1000));
    v("guidance", guidance, "Weight of the prompt (classifier-free guidance); 1 and less: the prompt alone (default: 7.5; SDXL: 5; SD 3: 7)", at_least(0));
    v("seed", seed, "Seed of the noise; image i of a prompt has seed + i", at_least(0));
    v("num_images", num_images, "Pictures for each prompt", at_least(1));
    v("eta", eta, "Share of fresh noise at each step, for the sampler ddim", between(0, 1));
    v("width", width, "Width in pixels (default: what the model was trained on)", between(8, 8192));
    v("height", height, "Height in pixels (default: what the model was trained on)", between(8, 8192));
    v("negative_prompt", negative_prompt, "What the picture should not show (default: the empty text; nothing at all for SDXL)");
    v("num_frames", num_frames, "Frames of a clip, for AnimateDiff models (default: 16)", between(1, 1024));
    v("batch_size", batch_size, "Pictures or clips drawn at the same time (default: 8; clips: 1)", at_least(1));
    v("max_sequence_length", max_sequence_length, "Tokens of a prompt that SD 3's T5 reads (default: 256)", between(1, 512));
  }
};

// What a family's published pipeline does when it is not told.
struct DrawDefaults {
  std::string sampler = "ddim";
  double guidance = 7.5;
};

struct TextToImageParts {
  std::shared_ptr<Denoiser> denoiser;
  std::shared_ptr<AutoencoderKL> vae;
  TextConditioner text;  // not needed by draw_pictures
  SchedulerConfig scheduler;
  DrawDefaults defaults;

  double guidance(const GenerateOptions& options) const { return options.guidance.value_or(defaults.guidance); }
};

// All parts of a model folder. Throws BadFile, also when the parts do not fit each other (text width, vocabulary, latents).
// The denoiser is handed in, since adapters may sit on it; the others are on its device. An autoencoder that overflows in
// fp16 (force_upcast) is loaded in fp32 instead.
TextToImageParts load_text_to_image(const ModelFolder& model, std::shared_ptr<Denoiser> denoiser, c10::ScalarType dtype,
                                    std::optional<int64_t> max_sequence_length = std::nullopt);

// What each prompt becomes, in the encoders' dtype. Warns of prompts that were cut.
TextConditions prompt_conditions(const TextConditioner& text, const std::vector<std::string>& prompts);

// The other side of guidance: the encoded negative prompt; without one zeros or the encoded empty text, as the family has it.
TextConditions negative_conditions(const TextConditioner& text, const std::optional<std::string>& negative_prompt);

// Unscaled latents [1, C, h, w] to a picture: decode, from [-1, 1] to 0..255, rounded half to even, clamped.
Image decoded_picture(const AutoencoderKL& vae, const torch::Tensor& latents);

// Throws InvalidArgument when the sizes, the frames or the sampler do not suit the model: what draw_pictures would throw, before any work.
void check_drawing(const TextToImageParts& parts, const GenerateOptions& options);

// Latents `index` are ready, [1, C, h, w] or [1, C, frames, h, w].
using LatentSink = std::function<void(int64_t index, const torch::Tensor& latents)>;
// Picture `index` is ready. Prompt p, image i has index p * num_images + i; they come in this order.
using PictureSink = std::function<void(int64_t index, Image picture)>;
// done of total denoiser calls.
using DrawProgress = std::function<void(int64_t done, int64_t total)>;

// How many frames a clip gets; nothing for models of pictures. Throws InvalidArgument when these are asked for frames, and for
// more frames than the motion modules know.
std::optional<int64_t> clip_frames(const Denoiser& denoiser, const std::optional<int64_t>& num_frames);

// draw_pictures up to the decoder, for pictures and clips.
void draw_latents(const TextToImageParts& parts, const TextConditions& with_prompt, const TextConditions& without_prompt,
                  const GenerateOptions& options, const LatentSink& sink, const DrawProgress& progress = {});

// Draws num_images pictures for each of the N prompts in with_prompt; without_prompt is of one negative prompt and may be
// undefined when guidance <= 1.
// Throws InvalidArgument as check_drawing does, or when a needed embedding is missing.
void draw_pictures(const TextToImageParts& parts, const TextConditions& with_prompt, const TextConditions& without_prompt,
                   const GenerateOptions& options, const PictureSink& sink, const DrawProgress& progress = {});

// All of it, prompts to pictures.
std::vector<Image> generate_images(const TextToImageParts& parts, const std::vector<std::string>& prompts, const GenerateOptions& options,
                                   const DrawProgress& progress = {});

}  // namespace sara
