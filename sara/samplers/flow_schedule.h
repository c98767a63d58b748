// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "sara/samplers/scheduler_config.h"

namespace sara {

// The forward process of flow matching (Esser et al. 2024, section 2): sigma_t is level T-1-t of flow_sigmas, so that a
// larger timestep is noisier as in NoiseSchedule.
//   noisy latents  x_t = (1 - sigma_t) x + sigma_t noise
//   velocity       v = noise - x, at every timestep
class FlowSchedule {
 public:
  explicit FlowSchedule(const SchedulerConfig& config);

  int64_t num_train_timesteps() const { return sigmas_.size(0); }
  // timesteps [B] int64 in [0, num_train_timesteps) -> [B] fp32
  torch::Tensor sigmas(const torch::Tensor& timesteps) const;
  // latents and noise [B, ...] -> the same shape
  torch::Tensor add_noise(const torch::Tensor& latents, const torch::Tensor& noise, const torch::Tensor& timesteps) const;

 private:
  torch::Tensor sigmas_;  // rising
};

}  // namespace sara
