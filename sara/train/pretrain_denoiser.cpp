// SPDX-License-Identifier: Apache-2.0
#include <torch/types.h>

#include <cstdlib>
#include <filesystem>

#include "sara/base/device.h"
#include "sara/base/error.h"
#include "sara/base/random.h"
#include "sara/data/batches.h"
#include "sara/files/json.h"
#include "sara/layers/conv.h"
#include "sara/models/clip_text.h"
#include "sara/models/initialize.h"
#include "sara/models/unet.h"
#include "sara/samplers/noise_schedule.h"
#include "sara/train/loss.h"
#include "sara/train/pretrain.h"
#include "sara/train/pretrain_loop.h"
#include "sara/weights/load_weights.h"
#include "sara/weights/precision.h"
#include "sara/weights/tensor_file.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

// What stage 1 left.
struct LatentFile {
  torch::Tensor mean, std, ids, empty_ids;
  double scaling = 0;

  explicit LatentFile(const std::string& path) {
    if (!fs::exists(path)) throw InvalidArgument(message(path, ": no cached latents. Fix: run the autoencoder stage first"));
    const auto tensors = load_tensors(path);
    const auto metadata = SafetensorsReader(path).metadata();
    const auto part = [&](const char* name, int64_t dims) {
      const auto found = tensors.find(name);
      if (found == tensors.end() || found->second.dim() != dims) throw BadFile(path, message("holds no usable ", name, ". Fix: run the autoencoder stage again"));
      return found->second;
    };
    mean = part("mean", 4);
    std = part("std", 4);
    ids = part("ids", 2);
    empty_ids = part("empty_ids", 1);
    const auto factor = metadata.find("scaling_factor");
    if (factor != metadata.end()) scaling = std::strtod(factor->second.c_str(), nullptr);
    if (!(scaling > 0)) throw BadFile(path, "holds no usable scaling_factor. Fix: run the autoencoder stage again");
  }
};

}  // namespace

void pretrain_denoiser(const std::string& layout, const std::string& output, const PretrainOptions& options) {
  const LatentFile cache((fs::path(output) / "latents.safetensors").string());
  const auto &mean = cache.mean, &std = cache.std, &ids = cache.ids, &empty_ids = cache.empty_ids;

  const auto dtype = dtype_from_precision(options.precision);
  const auto device = device_from_name("auto");
  const auto unet_config = UNetConfig::from_json(read_json((fs::path(layout) / "unet/config.json").string()));
  const auto text_config = ClipTextConfig::from_json(read_json((fs::path(layout) / "text_encoder/config.json").string()));
  const auto tensor_options = torch::TensorOptions().dtype(torch::kFloat);
  auto unet = std::make_shared<UNet2DConditionModel>(unet_config, tensor_options);
  auto text = std::make_shared<ClipTextModel>(text_config, tensor_options);
  if (options.from) {
    load_weights_(*unet, WeightFiles((fs::path(*options.from) / "unet").string()));
    load_weights_(*text, WeightFiles((fs::path(*options.from) / "text_encoder").string()));
  } else {
    initialize_(*unet, options.seed);
    initialize_(*text, options.seed + 1);
  }
  unet->to(device, dtype);
  lay_out_for_device_(*unet);
  text->to(device, dtype);
  const NoiseSchedule schedule(SchedulerConfig::from_json(read_json((fs::path(layout) / "scheduler/scheduler_config.json").string())));

  const BatchOrder order(mean.size(0), options.batch_size, options.seed);
  PretrainLoop loop({{"text_encoder", text}, {"unet", unet}}, output, options);
  loop.run("denoiser", [&](int64_t step) {
    const auto batch = torch::tensor(order.batch(step), torch::kLong);
    const auto batch_mean = mean.index_select(0, batch);
    const auto draws = draw_noise(batch_mean.sizes(), 0, schedule.num_train_timesteps(), 0.0, options.caption_dropout, stream_key(options.seed, "noise", step));
    const auto latents = (batch_mean + std.index_select(0, batch) * draws.posterior_noise) * cache.scaling;
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
