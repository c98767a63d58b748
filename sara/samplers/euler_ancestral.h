// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/samplers/sampler.h"

namespace sara {

// Euler's method with fresh noise at every step, as ancestral sampling adds it. From sigma to sigma':
//   up^2 = sigma'^2 (sigma^2 - sigma'^2) / sigma^2,  down^2 = sigma'^2 - up^2
//   x' = x + (x - x0) / sigma (down - sigma) + up noise
// x0 as in EulerSampler. Karras and other sigmas of the file belong to other classes; this one has the training sigmas.
class EulerAncestralSampler : public Sampler {
 public:
  explicit EulerAncestralSampler(const SchedulerConfig& config);
  void set_timesteps(int64_t steps) override;
  double init_noise_sigma() const override;
  torch::Tensor scale_model_input(const torch::Tensor& sample, size_t i) override;
  torch::Tensor step(const torch::Tensor& model_output, size_t i, const torch::Tensor& sample,
                     std::optional<at::Generator> generator = std::nullopt) override;

 private:
  NoiseSchedule schedule_;
  torch::Tensor sigmas_;  // fp32 on the CPU, one more than timesteps, the last 0
};

}  // namespace sara
