// SPDX-License-Identifier: Apache-2.0
#include "sara/train/loss.h"

#include <torch/types.h>

namespace sara {

NoiseDraws draw_noise(at::IntArrayRef shape, int64_t first_timestep, int64_t end_timestep, double noise_offset, double caption_dropout, uint64_t key) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(key);
  NoiseDraws draws;
  draws.timesteps = torch::randint(first_timestep, end_timestep, {shape[0]}, generator, torch::kLong);
  draws.noise = torch::randn(shape, generator, torch::kFloat);
  draws.posterior_noise = torch::randn(shape, generator, torch::kFloat);
  draws.dropped = torch::rand({shape[0]}, generator, torch::kFloat) < caption_dropout;
  std::vector<int64_t> a_channel(shape.size(), 1);  // of a clip too: all its frames have one
  a_channel[0] = shape[0];
  a_channel[1] = shape[1];
  const auto offset = torch::randn(a_channel, generator, torch::kFloat);
  if (noise_offset > 0) draws.noise.add_(offset, noise_offset);
  return draws;
}

NoiseDraws NoiseDraws::rows(int64_t first, int64_t count) const {
  const auto part = [&](const torch::Tensor& all) { return all.narrow(0, first, count); };
  return {part(timesteps), part(noise), part(posterior_noise), part(dropped), rows_before + first, rows_behind + timesteps.size(0) - first - count};
}

torch::Tensor snr_weights(const NoiseSchedule& schedule, const torch::Tensor& timesteps, double gamma) {
  const auto alpha = schedule.alphas_cumprod().index_select(0, timesteps);
  const auto snr = alpha / (1 - alpha);
  const auto capped = snr.clamp_max(gamma);
  const auto& type = schedule.config().prediction_type;
  if (type == "epsilon") return (gamma / snr).clamp_max(1.0);  // the same, and 1 where the picture is all noise (SNR 0)
  if (type == "v_prediction") return capped / (snr + 1);
  return capped;
}

torch::Tensor denoising_loss(const torch::Tensor& predicted, const torch::Tensor& target, const std::optional<torch::Tensor>& weights) {
  const auto error = (predicted.to(torch::kFloat) - target.to(torch::kFloat)).square();
  if (!weights) return error.mean();
  return (error.flatten(1).mean(1) * weights->to(error.device())).mean();
}

}  // namespace sara
