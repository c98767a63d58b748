// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "sara/samplers/scheduler_config.h"

namespace sara {

// The forward diffusion process: how much of the picture is left at timestep t.
//   beta_t from the config, alphas_cumprod_t = prod_{s<=t} (1 - beta_s), both fp32 of shape [num_train_timesteps]
//   noisy latents   x_t = sqrt(alphas_cumprod_t) x + sqrt(1 - alphas_cumprod_t) noise
//   velocity        v_t = sqrt(alphas_cumprod_t) noise - sqrt(1 - alphas_cumprod_t) x
// With rescale_betas_zero_snr the square roots of alphas_cumprod are shifted and scaled so that the last is exactly 0
// and the first stays (Lin et al. 2023, "Common diffusion noise schedules and sample steps are flawed", algorithm 1).
class NoiseSchedule {
 public:
  explicit NoiseSchedule(const SchedulerConfig& config);

  const SchedulerConfig& config() const { return config_; }
  int64_t num_train_timesteps() const { return config_.num_train_timesteps; }
  const torch::Tensor& alphas_cumprod() const { return alphas_cumprod_; }  // [T] fp32 on the CPU

  // latents and noise [B, ...] of one shape, timesteps [B] int64 in 0..T-1. The factors are computed in fp32 and rounded
  // once to the latents' dtype. Throws InvalidArgument when the shapes or (on the CPU) the timesteps do not fit.
  torch::Tensor add_noise(const torch::Tensor& latents, const torch::Tensor& noise, const torch::Tensor& timesteps) const;
  torch::Tensor velocity(const torch::Tensor& latents, const torch::Tensor& noise, const torch::Tensor& timesteps) const;

  // What the denoiser must answer, by prediction_type: epsilon: noise, v_prediction: velocity, sample: latents.
  torch::Tensor target(const torch::Tensor& latents, const torch::Tensor& noise, const torch::Tensor& timesteps) const;

 private:
  struct Factors {
    torch::Tensor picture, noise;  // [B, 1, ...] in the latents' dtype
  };
  Factors factors(const torch::Tensor& latents, const torch::Tensor& noise, const torch::Tensor& timesteps) const;

  SchedulerConfig config_;
  torch::Tensor alphas_cumprod_;
};

// beta_t, fp32 [num_train_timesteps] on the CPU, zero-SNR rescaling included.
torch::Tensor training_betas(const SchedulerConfig& config);

}  // namespace sara
