// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/samplers/sampler.h"

namespace sara {

// Euler's method for the probability flow in sigma (Karras et al. 2022, section 3, without second order and churn).
// Samples live in x + sigma noise; the denoiser is shown x / sqrt(sigma^2 + 1).
//   x0 = x - sigma e   (epsilon),   x / (sigma^2 + 1) - sigma / sqrt(sigma^2 + 1) v   (v_prediction)
//   x' = x + (x - x0) / sigma (sigma' - sigma)
class EulerSampler : public Sampler {
 public:
  explicit EulerSampler(const SchedulerConfig& config);
  void set_timesteps(int64_t steps) override;
  double init_noise_sigma() const override;
  torch::Tensor scale_model_input(const torch::Tensor& sample, size_t i) override;
  torch::Tensor step(const torch::Tensor& model_output, size_t i, const torch::Tensor& sample,
                     std::optional<at::Generator> generator = std::nullopt) override;

 private:
  NoiseSchedule schedule_;
  torch::Tensor sigmas_;  // fp32 on the CPU, one more than timesteps
};

}  // namespace sara
