// SPDX-License-Identifier: Apache-2.0
#include <torch/types.h>
#include <torch/utils.h>

#include <filesystem>

#include "sara/base/device.h"
#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/base/random.h"
#include "sara/data/batches.h"
#include "sara/data/image_folder.h"
#include "sara/files/image.h"
#include "sara/files/json.h"
#include "sara/models/initialize.h"
#include "sara/models/vae.h"
#include "sara/tokenizers/clip.h"
#include "sara/train/pretrain.h"
#include "sara/train/pretrain_loop.h"
#include "sara/weights/load_weights.h"
#include "sara/weights/precision.h"
#include "sara/weights/tensor_file.h"

namespace sara {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kEncodeBatch = 64;

// All pictures as one [N, 3, H, W] uint8 tensor; they must have one size.
torch::Tensor read_pictures(const std::vector<Sample>& samples) {
  std::vector<torch::Tensor> pictures;
  for (const auto& sample : samples) {
    const auto image = read_image(sample.path);
    auto pixels = torch::from_blob(const_cast<uint8_t*>(image.pixels.data()), {image.height, image.width, 3}, torch::kByte);
    if (!pictures.empty() && (image.height != pictures[0].size(1) || image.width != pictures[0].size(2))) {
      throw BadFile(sample.path, message("pictures for pre-training must have one size (expected ", pictures[0].size(2), "x", pictures[0].size(1), ", got ",
                                         image.width, "x", image.height, ")"));
    }
    pictures.push_back(pixels.permute({2, 0, 1}).contiguous());
  }
  return torch::stack(pictures);
}

torch::Tensor to_unit(const torch::Tensor& bytes, torch::Device device, c10::ScalarType dtype) {
  return bytes.to(device).to(torch::kFloat).div(127.5).sub(1).to(dtype);
}

// Mirrored, with other colours: each picture is flipped in one half of the draws, has its colour channels shuffled in one half
// and is a negative in one quarter, so that the autoencoder learns every colour and ground and not the corpus's palette alone.
torch::Tensor augmented(const torch::Tensor& pictures, uint64_t key) {
  RandomStream draws(key);
  std::vector<torch::Tensor> out;
  for (const auto& picture : pictures.unbind(0)) {
    auto changed = draws.below(2) ? picture.flip({2}) : picture;
    if (draws.below(2)) changed = changed.index_select(0, torch::tensor(permutation(3, draws.next()), torch::kLong));
    out.push_back(draws.below(4) == 0 ? 255 - changed : changed);
  }
  return torch::stack(out);
}

// L1 + squared error, and the squared error of 4x4 means four times over: colours live in low frequencies.
torch::Tensor drawing_loss(const torch::Tensor& drawn, const torch::Tensor& pixels) {
  const auto difference = drawn - pixels;
  return difference.abs().mean() + difference.square().mean() + 4 * at::avg_pool2d(difference, 4).square().mean();
}

// The posterior of every picture, fp32 on the CPU.
TensorMap encode_all(AutoencoderKL& vae, const torch::Tensor& pictures, torch::Device device) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> means, stds;
  for (int64_t first = 0; first < pictures.size(0); first += kEncodeBatch) {
    const auto posterior = vae.encode(to_unit(pictures.slice(0, first, first + kEncodeBatch), device, torch::kFloat));
    means.push_back(posterior.mean.to(torch::kCPU));
    stds.push_back((0.5 * posterior.logvar).exp().to(torch::kCPU));
  }
  return {{"mean", torch::cat(means)}, {"std", torch::cat(stds)}};
}

torch::Tensor token_ids(const std::vector<Sample>& samples, const Tokenizer& tokenizer) {
  std::vector<torch::Tensor> rows;
  for (const auto& sample : samples) rows.push_back(torch::tensor(tokenizer.encode(sample.captions.at(0)).ids, torch::kLong));
  return torch::stack(rows);
}

}  // namespace

void pretrain_autoencoder(const std::string& layout, const std::string& data, const std::string& output, const PretrainOptions& options) {
  const auto samples = read_image_folder(data, {});
  const auto pictures = read_pictures(samples);
  const ClipTokenizer tokenizer((fs::path(layout) / "tokenizer").string());
  fs::create_directories(output);

  const auto dtype = dtype_from_precision(options.precision);
  const auto device = device_from_name("auto");
  auto config = VaeConfig::from_json(read_json((fs::path(layout) / "vae/config.json").string()));
  auto vae = std::make_shared<AutoencoderKL>(config, torch::TensorOptions().dtype(torch::kFloat));
  if (options.from) {
    load_weights_(*vae, WeightFiles((fs::path(*options.from) / "vae").string()));
  } else {
    initialize_(*vae, options.seed);
  }
  vae->to(device, dtype);

  const BatchOrder order(pictures.size(0), options.batch_size, options.seed);
  PretrainLoop loop({{"vae", vae}}, output, options);
  loop.run("autoencoder", [&](int64_t step) {
    const auto batch = torch::tensor(order.batch(step), torch::kLong);
    const auto pixels = to_unit(augmented(pictures.index_select(0, batch), stream_key(options.seed, "augment", step)), device, dtype);
    const auto posterior = vae->encode(pixels);
    auto generator = at::make_generator<at::CPUGeneratorImpl>(stream_key(options.seed, "posterior", step));
    const auto noise = torch::randn(posterior.mean.sizes(), generator, torch::kFloat).to(device);
    const auto mean = posterior.mean.to(torch::kFloat), logvar = posterior.logvar.to(torch::kFloat);
    const auto drawn = vae->decode((mean + (0.5 * logvar).exp() * noise).to(dtype)).to(torch::kFloat);
    const auto kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar);
    return drawing_loss(drawn, pixels.to(torch::kFloat)) + options.kl_weight * kl.mean();
  });
  loop.use_average();
  vae->to(torch::kFloat);

  auto cache = encode_all(*vae, pictures, device);
  // Latents that are only encoded again keep the scale that a denoiser was trained on.
  const bool encode_only = options.from && options.steps == 0;
  const double scaling = encode_only ? VaeConfig::from_json(read_json((fs::path(*options.from) / "vae/config.json").string())).scaling_factor
                                     : 1.0 / (cache.at("mean").var(false) + cache.at("std").square().mean()).sqrt().item<double>();
  cache["ids"] = token_ids(samples, tokenizer);
  cache["empty_ids"] = torch::tensor(tokenizer.encode("").ids, torch::kLong);
  auto config_json = config.to_json();
  config_json["scaling_factor"] = scaling;
  save_component((fs::path(output) / "model" / "vae").string(), "diffusion_pytorch_model.safetensors", *vae, config_json.dump(2) + "\n", torch::kHalf);
  save_tensors((fs::path(output) / "latents.safetensors").string(), cache, {{"scaling_factor", message(scaling)}});
  log_info(message("autoencoder: ", pictures.size(0), " pictures encoded, scaling factor ", scaling));
}

}  // namespace sara
