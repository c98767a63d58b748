// SPDX-License-Identifier: Apache-2.0
#include "sara/samplers/noise_schedule.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "sara/base/error.h"

namespace sara {
namespace {

// Nichol and Dhariwal 2021: the share of picture left is a squared cosine; no step takes more than 0.999 of it.
std::vector<double> cosine_betas(int64_t count) {
  const auto left = [](double t) { return std::pow(std::cos((t + 0.008) / 1.008 * std::numbers::pi / 2), 2); };
  std::vector<double> betas(count);
  for (int64_t i = 0; i < count; ++i) betas[i] = std::min(1 - left(double(i + 1) / double(count)) / left(double(i) / double(count)), 0.999);
  return betas;
}

torch::Tensor zero_snr(const torch::Tensor& betas) {
  torch::Tensor root = torch::cumprod(1.0 - betas, 0).sqrt();
  const torch::Tensor first = root[0].clone(), last = root[-1].clone();
  root = (root - last) * (first / (first - last));
  const torch::Tensor left = root.square();
  const torch::Tensor ratios = left.slice(0, 1) / left.slice(0, 0, -1);
  return 1.0 - torch::cat({left.slice(0, 0, 1), ratios});
}

}  // namespace

torch::Tensor training_betas(const SchedulerConfig& config) {
  const auto fp32 = torch::TensorOptions().dtype(torch::kFloat32);
  torch::Tensor betas;
  if (config.trained_betas) {
    betas = torch::tensor(*config.trained_betas, torch::kFloat64).to(torch::kFloat32);
  } else if (config.beta_schedule == "linear") {
    betas = torch::linspace(config.beta_start, config.beta_end, config.num_train_timesteps, fp32);
  } else if (config.beta_schedule == "scaled_linear") {
    betas = torch::linspace(std::sqrt(config.beta_start), std::sqrt(config.beta_end), config.num_train_timesteps, fp32).square();
  } else if (config.beta_schedule == "squaredcos_cap_v2") {
    betas = torch::tensor(cosine_betas(config.num_train_timesteps), torch::kFloat64).to(torch::kFloat32);
  } else {
    throw InvalidArgument(message("beta_schedule ", config.beta_schedule, " is unknown (expected linear, scaled_linear or ", "squaredcos_cap_v2)"));
  }
  return config.rescale_betas_zero_snr ? zero_snr(betas) : betas;
}

NoiseSchedule::NoiseSchedule(const SchedulerConfig& config) : config_(config), alphas_cumprod_(torch::cumprod(1.0 - training_betas(config), 0)) {}

NoiseSchedule::Factors NoiseSchedule::factors(const torch::Tensor& latents, const torch::Tensor& noise, const torch::Tensor& timesteps) const {
  if (latents.sizes() != noise.sizes())
    throw InvalidArgument(message("noise has another shape than the latents (expected ", latents.sizes(), ", got ", noise.sizes(), ")"));
  if (timesteps.dim() != 1 || latents.dim() < 1 || timesteps.size(0) != latents.size(0) || timesteps.scalar_type() != torch::kInt64)
    throw InvalidArgument(message("wrong timesteps (expected one int64 per latent, ", latents.sizes(), ", got ", timesteps.sizes(), " of ",
                                  timesteps.scalar_type(), ")"));
  // A look at values on another device would stall it at every step; its indexing checks them itself.
  if (timesteps.is_cpu() && timesteps.numel() > 0) {
    const auto [low, high] = timesteps.aminmax();
    if (low.item<int64_t>() < 0 || high.item<int64_t>() >= num_train_timesteps())
      throw InvalidArgument(message("timestep outside the schedule (expected 0 to ", num_train_timesteps() - 1, ", got ", low.item<int64_t>(), " to ",
                                    high.item<int64_t>(), ")"));
  }
  const torch::Tensor left = alphas_cumprod_.to(latents.device()).index_select(0, timesteps.to(latents.device()));
  std::vector<int64_t> shape(latents.dim(), 1);
  shape[0] = latents.size(0);
  return {left.sqrt().to(latents.scalar_type()).view(shape), (1.0 - left).sqrt().to(latents.scalar_type()).view(shape)};
}

torch::Tensor NoiseSchedule::add_noise(const torch::Tensor& latents, const torch::Tensor& noise, const torch::Tensor& timesteps) const {
  const Factors f = factors(latents, noise, timesteps);
  return f.picture * latents + f.noise * noise;
}

torch::Tensor NoiseSchedule::velocity(const torch::Tensor& latents, const torch::Tensor& noise, const torch::Tensor& timesteps) const {
  const Factors f = factors(latents, noise, timesteps);
  return f.picture * noise - f.noise * latents;
}

torch::Tensor NoiseSchedule::target(const torch::Tensor& latents, const torch::Tensor& noise, const torch::Tensor& timesteps) const {
  if (config_.prediction_type == "epsilon") return noise;
  if (config_.prediction_type == "sample") return latents;
  if (config_.prediction_type == "v_prediction") return velocity(latents, noise, timesteps);
  throw InvalidArgument(message("prediction_type ", config_.prediction_type, " is unknown (expected epsilon, v_prediction or sample)"));
}

}  // namespace sara
