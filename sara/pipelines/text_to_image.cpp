// SPDX-License-Identifier: Apache-2.0
#include "sara/pipelines/text_to_image.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/pipelines/guidance.h"
#include "sara/tokenizers/clip.h"

namespace sara {
namespace {

int64_t latent_side(const char* name, std::optional<int64_t> pixels, const TextToImageParts& parts) {
  const int64_t factor = parts.vae->config().factor();
  if (!pixels) {
    if (parts.unet->config().sample_size) return *parts.unet->config().sample_size;
    throw InvalidArgument(message(name, ": the model does not say its size. Fix: give --width and --height"));
  }
  if (*pixels % factor != 0) {
    throw InvalidArgument(message(name, ": not a multiple of ", factor, " (got ", *pixels, ")"));
  }
  return *pixels / factor;
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
  drawing.sampler = make_sampler(options.sampler, parts.scheduler, options.eta);
  drawing.sampler->set_timesteps(options.steps);
  const auto noise = torch::randn(shape, drawing.generator, torch::kFloat32);
  drawing.latents = (noise * drawing.sampler->init_noise_sigma()).to(device);
  return drawing;
}

void denoise_(std::vector<Drawing>& drawings, const TextToImageParts& parts, const torch::Tensor& with, const torch::Tensor& without,
              double guidance, const std::function<void()>& after_call) {
  const auto& times = drawings.front().sampler->timesteps();
  for (size_t i = 0; i < times.size(); ++i) {
    std::vector<torch::Tensor> inputs;
    for (auto& drawing : drawings) inputs.push_back(drawing.sampler->scale_model_input(drawing.latents, i));
    const auto prediction = guided_prediction(*parts.unet, torch::cat(inputs), times[i], with, without, guidance);
    for (size_t b = 0; b < drawings.size(); ++b) {
      auto& drawing = drawings[b];
      drawing.latents = drawing.sampler->step(prediction.narrow(0, static_cast<int64_t>(b), 1), i, drawing.latents, drawing.generator);
    }
    after_call();
  }
}

}  // namespace

TextToImageParts load_text_to_image(const ModelFolder& model, std::shared_ptr<UNet2DConditionModel> unet) {
  TextToImageParts parts;
  const auto weight = unet->parameters().front();
  const auto dtype = weight.scalar_type();
  const auto device = weight.device();
  parts.unet = std::move(unet);
  parts.scheduler = SchedulerConfig::from_json(model.scheduler_config(), model.component_path("scheduler") + "/scheduler_config.json");
  const auto tokenizer = std::make_shared<ClipTokenizer>(model.tokenizer_path());
  parts.tokenizer = tokenizer;
  parts.text_encoder = model.load_text_encoder(dtype, device);
  parts.vae = model.load_vae(dtype, device);
  const auto require_equal = [&](const char* what, int64_t expected, int64_t got) {
    if (expected != got) throw BadFile(model.path(), message("the parts do not fit each other: ", what, " (expected ", expected, ", got ", got, ")"));
  };
  require_equal("width of the text embeddings", parts.unet->config().cross_attention_dim, parts.text_encoder->config().hidden_size);
  require_equal("channels of the latents", parts.unet->config().in_channels, parts.vae->config().latent_channels);
  if (tokenizer->vocabulary_size() > parts.text_encoder->config().vocab_size) {
    require_equal("token ids", parts.text_encoder->config().vocab_size, tokenizer->vocabulary_size());
  }
  if (tokenizer->max_length() > parts.text_encoder->config().max_position_embeddings) {
    require_equal("tokens of a prompt", parts.text_encoder->config().max_position_embeddings, tokenizer->max_length());
  }
  return parts;
}

torch::Tensor prompt_embeddings(const ClipTextModel& text_encoder, const Tokenizer& tokenizer, const std::vector<std::string>& prompts) {
  const torch::NoGradGuard no_grad;
  std::vector<int64_t> ids;
  std::vector<std::string> cut;
  for (const auto& prompt : prompts) {
    const auto encoding = tokenizer.encode(prompt);
    if (encoding.truncated) cut.push_back(escaped(prompt).substr(0, 60));
    ids.insert(ids.end(), encoding.ids.begin(), encoding.ids.end());
  }
  if (!cut.empty()) {
    log_warning(message(cut.size(), " of ", prompts.size(), " prompts are longer than ", tokenizer.max_length(), " tokens and were cut: ",
                        first_five(cut, " | ")));
  }
  const auto input = torch::tensor(ids, torch::kInt64).view({static_cast<int64_t>(prompts.size()), tokenizer.max_length()});
  return text_encoder.forward(input.to(text_encoder.parameters().front().device()));
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

void draw_pictures(const TextToImageParts& parts, const torch::Tensor& with_prompt, const torch::Tensor& without_prompt,
                   const GenerateOptions& options, const PictureSink& sink, const DrawProgress& progress) {
  const torch::NoGradGuard no_grad;
  const bool both = options.guidance > 1;
  if (both && !without_prompt.defined()) throw InvalidArgument("guidance: above 1 it needs an embedded negative prompt");
  const auto like = parts.unet->parameters().front().options();
  const std::vector<int64_t> shape = {1, parts.unet->config().in_channels, latent_side("height", options.height, parts),
                                      latent_side("width", options.width, parts)};
  const int64_t total = with_prompt.size(0) * options.num_images;
  int64_t done = 0, calls = 0;
  for (int64_t first = 0; first < total; first += options.batch_size) {
    const int64_t count = std::min(options.batch_size, total - first);
    std::vector<Drawing> drawings;
    std::vector<int64_t> rows;
    for (int64_t index = first; index < first + count; ++index) {
      drawings.push_back(begun(index, shape, parts, options, like.device()));
      rows.push_back(index / options.num_images);
    }
    // A sampler may visit fewer or more timesteps than it was asked for.
    calls = (total + options.batch_size - 1) / options.batch_size * static_cast<int64_t>(drawings.front().sampler->timesteps().size());
    const auto with = with_prompt.index_select(0, torch::tensor(rows, torch::kInt64).to(with_prompt.device())).to(like);
    const auto without = both ? without_prompt.to(like).expand({count, -1, -1}) : torch::Tensor();
    denoise_(drawings, parts, with, without, options.guidance, [&] {
      if (progress) progress(++done, calls);
    });
    for (auto& drawing : drawings) sink(drawing.index, decoded_picture(*parts.vae, drawing.latents));
  }
}

std::vector<Image> generate_images(const TextToImageParts& parts, const std::vector<std::string>& prompts, const GenerateOptions& options,
                                   const DrawProgress& progress) {
  std::vector<Image> pictures;
  if (prompts.empty()) return pictures;
  const auto with = prompt_embeddings(*parts.text_encoder, *parts.tokenizer, prompts);
  const auto without =
      options.guidance > 1 ? prompt_embeddings(*parts.text_encoder, *parts.tokenizer, {options.negative_prompt}) : torch::Tensor();
  draw_pictures(parts, with, without, options, [&](int64_t, Image picture) { pictures.push_back(std::move(picture)); }, progress);
  return pictures;
}

}  // namespace sara
