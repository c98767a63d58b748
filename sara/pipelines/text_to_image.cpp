// SPDX-License-Identifier: Apache-2.0
#include "sara/pipelines/text_to_image.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/pipelines/guidance.h"

namespace sara {
namespace {

constexpr int64_t kClipFrames = 16;  // what the published motion modules are trained with

int64_t latent_side(const char* name, std::optional<int64_t> pixels, const TextToImageParts& parts) {
  const auto inputs = parts.denoiser->inputs();
  const int64_t factor = parts.vae->config().factor(), unit = factor * inputs.patch;
  if (!pixels) {
    if (inputs.sample_size) return *inputs.sample_size;
    throw InvalidArgument(message(name, ": the model does not say its size. Fix: give --width and --height"));
  }
  if (*pixels % unit != 0) {
    throw InvalidArgument(message(name, ": not a multiple of ", unit, " (got ", *pixels, ")"));
  }
  return *pixels / factor;
}

std::vector<int64_t> latent_shape(const TextToImageParts& parts, const GenerateOptions& options) {
  std::vector<int64_t> shape = {1, parts.denoiser->inputs().latent_channels, latent_side("height", options.height, parts), latent_side("width", options.width, parts)};
  if (const auto frames = clip_frames(*parts.denoiser, options.num_frames)) shape.insert(shape.begin() + 2, *frames);
  return shape;
}

std::unique_ptr<Sampler> chosen_sampler(const TextToImageParts& parts, const GenerateOptions& options) {
  return make_sampler(options.sampler.value_or(parts.defaults.sampler), parts.scheduler, options.eta);
}

// One picture on its way: its noise stream and its sampler, so that neighbours in a batch cannot change it.
struct Drawing {
  int64_t index;
  at::Generator generator;
  std::unique_ptr<Sampler> sampler;
  torch::Tensor latents;  // [1, C, h, w] fp32
};

Drawing begun(int64_t index, at::IntArrayRef shape, const TextToImageParts& parts, const GenerateOptions& options, c10::Device device) {
  Drawing drawing;
  drawing.index = index;
  drawing.generator = at::detail::createCPUGenerator(static_cast<uint64_t>(options.seed + index % options.num_images));
  drawing.sampler = chosen_sampler(parts, options);
  drawing.sampler->set_timesteps(options.steps);
  const auto noise = torch::randn(shape, drawing.generator, torch::kFloat32);
  drawing.latents = (noise * drawing.sampler->init_noise_sigma()).to(device);
  return drawing;
}

// Rows of conditions as the denoiser wants them; one row may stand for many.
TextConditions rows_of(const TextConditions& conditions, const torch::Tensor& rows, const torch::TensorOptions& like) {
  const auto chosen = [&](const torch::Tensor& all) { return all.defined() ? all.index_select(0, rows.to(all.device())).to(like) : all; };
  return {chosen(conditions.text), chosen(conditions.pooled)};
}

// The whole picture, uncropped, at its own size; latents end in its height and width.
torch::Tensor drawn_time_ids(const TextToImageParts& parts, at::IntArrayRef latents, c10::Device device) {
  if (!parts.denoiser->inputs().time_ids) return {};
  const auto height = latents[latents.size() - 2] * parts.vae->config().factor(), width = latents.back() * parts.vae->config().factor();
  return torch::tensor({height, width, int64_t{0}, int64_t{0}, height, width}, torch::kFloat32).unsqueeze(0).to(device);
}

void denoise_(std::vector<Drawing>& drawings, const TextToImageParts& parts, const TextConditions& with, const TextConditions& without,
              double guidance, const std::function<void()>& after_call) {
  const auto time_ids = drawn_time_ids(parts, drawings.front().latents.sizes(), drawings.front().latents.device());
  const auto& times = drawings.front().sampler->timesteps();
  for (size_t i = 0; i < times.size(); ++i) {
    std::vector<torch::Tensor> inputs;
    for (auto& drawing : drawings) inputs.push_back(drawing.sampler->scale_model_input(drawing.latents, i));
    const auto prediction = guided_prediction(*parts.denoiser, torch::cat(inputs), times[i], with, without, guidance, time_ids);
    for (size_t b = 0; b < drawings.size(); ++b) {
      auto& drawing = drawings[b];
      drawing.latents = drawing.sampler->step(prediction.narrow(0, static_cast<int64_t>(b), 1), i, drawing.latents, drawing.generator);
    }
    after_call();
  }
}

}  // namespace

TextToImageParts load_text_to_image(const ModelFolder& model, std::shared_ptr<Denoiser> denoiser, c10::ScalarType dtype,
                                    std::optional<int64_t> max_sequence_length) {
  TextToImageParts parts;
  const auto device = denoiser->parameters().front().device();
  parts.denoiser = std::move(denoiser);
  parts.scheduler = SchedulerConfig::from_json(model.scheduler_config(), model.component_path("scheduler") + "/scheduler_config.json");
  parts.text = load_text_conditioner(model, dtype, device, max_sequence_length);
  const bool overflows = dtype == torch::kHalf && model.read_config<VaeConfig>("vae").force_upcast;
  parts.vae = model.load_vae(overflows ? torch::kFloat : dtype, device);
  if (model.family() == "sdxl") parts.defaults = {.sampler = "euler", .guidance = 5.0};
  if (model.family() == "sd3") parts.defaults = {.sampler = "flow_match", .guidance = 7.0};
  const auto require_equal = [&](const char* what, int64_t expected, int64_t got) {
    if (expected != got) throw BadFile(model.path(), message("the parts do not fit each other: ", what, " (expected ", expected, ", got ", got, ")"));
  };
  const auto inputs = parts.denoiser->inputs();
  require_equal("width of the text embeddings", inputs.text_width, parts.text.encoders->text_width());
  require_equal("width of the pooled text", inputs.pooled_width, parts.text.encoders->pooled_width());
  require_equal("channels of the latents", inputs.latent_channels, parts.vae->config().latent_channels);
  return parts;
}

TextConditions prompt_conditions(const TextConditioner& text, const std::vector<std::string>& prompts) {
  const auto& tokenizer = *text.tokenizer;
  std::vector<int64_t> ids;
  std::vector<std::string> cut;
  for (const auto& prompt : prompts) {
    const auto encoding = tokenizer.encode(prompt);
    if (encoding.truncated) cut.push_back(escaped(prompt).substr(0, 60));
    ids.insert(ids.end(), encoding.ids.begin(), encoding.ids.end());
  }
  if (!cut.empty()) {
    log_warning(message(cut.size(), " of ", prompts.size(), " prompts are longer than ", tokenizer.lengths().front(), " tokens and were cut: ",
                        first_five(cut, " | ")));
  }
  return text.encode(torch::tensor(ids, torch::kInt64).view({static_cast<int64_t>(prompts.size()), tokenizer.max_length()}));
}

TextConditions negative_conditions(const TextConditioner& text, const std::optional<std::string>& negative_prompt) {
  auto conditions = prompt_conditions(text, {negative_prompt.value_or("")});
  if (!negative_prompt && text.zeros_when_absent) {
    conditions.text.zero_();
    conditions.pooled.zero_();
  }
  return conditions;
}

Image decoded_picture(const AutoencoderKL& vae, const torch::Tensor& latents) {
  const torch::NoGradGuard no_grad;
  const auto& config = vae.config();
  const auto unscaled = latents / config.scaling_factor + config.shift_factor.value_or(0.0);
  const auto decoded = vae.decode(unscaled.to(vae.parameters().front().options())).to(torch::kFloat32);
  const auto bytes = (decoded / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch::kUInt8).squeeze(0).permute({1, 2, 0}).contiguous().cpu();
  SARA_CHECK(bytes.size(2) == 3, "an autoencoder of ", bytes.size(2), " colours");
  const auto* data = bytes.data_ptr<uint8_t>();
  return {bytes.size(1), bytes.size(0), {data, data + bytes.numel()}};
}

std::optional<int64_t> clip_frames(const Denoiser& denoiser, const std::optional<int64_t>& num_frames) {
  const auto most = denoiser.inputs().max_frames;
  if (!most) {
    if (num_frames) throw InvalidArgument("num_frames: only models with motion modules (AnimateDiff) make clips. Fix: leave it out, or add --motion-adapter");
    return std::nullopt;
  }
  const int64_t frames = num_frames.value_or(std::min(kClipFrames, *most));
  if (frames > *most) throw InvalidArgument(message("num_frames: more than the motion modules know (expected at most ", *most, ", got ", frames, "). Fix: lower it"));
  return frames;
}

void check_drawing(const TextToImageParts& parts, const GenerateOptions& options) {
  latent_shape(parts, options);
  chosen_sampler(parts, options);
}

void draw_latents(const TextToImageParts& parts, const TextConditions& with_prompt, const TextConditions& without_prompt,
                  const GenerateOptions& options, const LatentSink& sink, const DrawProgress& progress) {
  const torch::NoGradGuard no_grad;
  const double guidance = parts.guidance(options);
  const bool both = guidance > 1;
  if (both && !without_prompt.text.defined()) throw InvalidArgument("guidance: above 1 it needs an embedded negative prompt");
  const auto like = parts.denoiser->parameters().front().options();
  const auto shape = latent_shape(parts, options);
  const int64_t batch_size = options.batch_size.value_or(parts.denoiser->inputs().max_frames ? 1 : 8);
  const int64_t total = with_prompt.text.size(0) * options.num_images;
  int64_t done = 0, calls = 0;
  for (int64_t first = 0; first < total; first += batch_size) {
    const int64_t count = std::min(batch_size, total - first);
    std::vector<Drawing> drawings;
    std::vector<int64_t> rows;
    for (int64_t index = first; index < first + count; ++index) {
      drawings.push_back(begun(index, shape, parts, options, like.device()));
      rows.push_back(index / options.num_images);
    }
    // A sampler may visit fewer or more timesteps than it was asked for.
    calls = (total + batch_size - 1) / batch_size * static_cast<int64_t>(drawings.front().sampler->timesteps().size());
    const auto with = rows_of(with_prompt, torch::tensor(rows, torch::kInt64), like);
    const auto without = both ? rows_of(without_prompt, torch::zeros({count}, torch::kInt64), like) : TextConditions();
    denoise_(drawings, parts, with, without, guidance, [&] {
      if (progress) progress(++done, calls);
    });
    for (auto& drawing : drawings) sink(drawing.index, drawing.latents);
  }
}

void draw_pictures(const TextToImageParts& parts, const TextConditions& with_prompt, const TextConditions& without_prompt,
                   const GenerateOptions& options, const PictureSink& sink, const DrawProgress& progress) {
  if (parts.denoiser->inputs().max_frames) throw InvalidArgument("this model makes clips, not pictures");
  draw_latents(
      parts, with_prompt, without_prompt, options,
      [&](int64_t index, const torch::Tensor& latents) { sink(index, decoded_picture(*parts.vae, latents)); }, progress);
}

std::vector<Image> generate_images(const TextToImageParts& parts, const std::vector<std::string>& prompts, const GenerateOptions& options,
                                   const DrawProgress& progress) {
  std::vector<Image> pictures;
  if (prompts.empty()) return pictures;
  const auto with = prompt_conditions(parts.text, prompts);
  const auto without = parts.guidance(options) > 1 ? negative_conditions(parts.text, options.negative_prompt) : TextConditions();
  draw_pictures(parts, with, without, options, [&](int64_t, Image picture) { pictures.push_back(std::move(picture)); }, progress);
  return pictures;
}

}  // namespace sara
