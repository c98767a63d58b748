// SPDX-License-Identifier: Apache-2.0
#include <torch/torch.h>

#include <filesystem>

#include "sara/base/error.h"
#include "sara/base/random.h"
#include "sara/data/batches.h"
#include "sara/files/json.h"
#include "sara/models/clip_text.h"
#include "sara/models/initialize.h"
#include "sara/models/unet.h"
#include "sara/samplers/noise_schedule.h"
#include "sara/train/loss.h"
#include "sara/train/pretrain.h"
#include "sara/train/pretrain_loop.h"
#include "sara/weights/precision.h"
#include "sara/weights/tensor_file.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

}  // namespace

void pretrain_denoiser(const std::string& layout, const std::string& output, const PretrainOptions& options) {
  const auto cache_path = (fs::path(output) / "latents.safetensors").string();
  if (!fs::exists(cache_path)) throw InvalidArgument(message(cache_path, ": no cached latents. Fix: run the autoencoder stage first"));
  const auto metadata = SafetensorsReader(cache_path).metadata();
  const auto cache = load_tensors(cache_path);
  const auto mean = cache.at("mean"), std = cache.at("std"), ids = cache.at("ids"), empty_ids = cache.at("empty_ids");
  const double scaling = std::stod(metadata.at("scaling_factor"));

  const auto dtype = dtype_from_precision(options.precision);
  const auto device = at::hasCUDA() ? torch::Device(torch::kCUDA) : torch::Device(torch::kCPU);
  const auto unet_config = UNetConfig::from_json(read_json((fs::path(layout) / "unet/config.json").string()));
  const auto text_config = ClipTextConfig::from_json(read_json((fs::path(layout) / "text_encoder/config.json").string()));
  const auto tensor_options = torch::TensorOptions().dtype(torch::kFloat);
  auto unet = std::make_shared<UNet2DConditionModel>(unet_config, tensor_options);
  auto text = std::make_shared<ClipTextModel>(text_config, tensor_options);
  initialize_(*unet, options.seed);
  initialize_(*text, options.seed + 1);
  unet->to(device, dtype);
  text->to(device, dtype);
  const NoiseSchedule schedule(SchedulerConfig::from_json(read_json((fs::path(layout) / "scheduler/scheduler_config.json").string())));

  const BatchOrder order(mean.size(0), options.batch_size, options.seed);
  PretrainLoop loop({{"text_encoder", text}, {"unet", unet}}, output, options);
  loop.run("denoiser", [&](int64_t step) {
    const auto batch = torch::tensor(order.batch(step), torch::kLong);
    const auto batch_mean = mean.index_select(0, batch);
    const auto draws = draw_noise(batch_mean.sizes(), schedule.num_train_timesteps(), 0.0, options.caption_dropout, stream_key(options.seed, "noise", step));
    const auto latents = (batch_mean + std.index_select(0, batch) * draws.posterior_noise) * scaling;
    const auto noisy = schedule.add_noise(latents, draws.noise, draws.timesteps);
    const auto captions = torch::where(draws.dropped.unsqueeze(1), empty_ids.unsqueeze(0), ids.index_select(0, batch));
    const auto context = text->forward(captions.to(device));
    const auto predicted = unet->forward(noisy.to(device, dtype), draws.timesteps.to(device), context);
    const auto target = schedule.target(latents, draws.noise, draws.timesteps).to(device);
    std::optional<torch::Tensor> weights;
    if (options.snr_gamma) weights = snr_weights(schedule, draws.timesteps, *options.snr_gamma);
    return denoising_loss(predicted, target, weights);
  });
  loop.use_average();

  const auto model = fs::path(output) / "model";
  save_component((model / "unet").string(), "diffusion_pytorch_model.safetensors", *unet, unet_config.to_json().dump(2) + "\n", torch::kHalf);
  save_component((model / "text_encoder").string(), "model.safetensors", *text, text_config.to_json().dump(2) + "\n", torch::kHalf);
  for (const char* part : {"scheduler", "tokenizer", "model_index.json"}) {
    fs::copy(fs::path(layout) / part, model / part, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
  }
}

}  // namespace sara
