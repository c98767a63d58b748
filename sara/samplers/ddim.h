// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/samplers/sampler.h"

namespace sara {

// Denoising diffusion implicit models (Song et al. 2021, equations 12 and 16). With a = alphas_cumprod at the step's timestep
// t and p at t - num_train_timesteps div steps (1, or alphas_cumprod_0 without set_alpha_to_one, once that is below 0):
//   sigma = eta sqrt((1 - p) / (1 - a)) sqrt(1 - a / p)
//   x' = sqrt(p) x0 + sqrt(1 - p - sigma^2) e + sigma noise
// x0 and e are the picture and the noise the model output implies, x0 clipped when clip_sample. eta 0: no noise.
class DdimSampler : public Sampler {
 public:
  // eta in [0, 1].
  explicit DdimSampler(const SchedulerConfig& config, double eta = 0.0);
  void set_timesteps(int64_t steps) override;
  torch::Tensor step(const torch::Tensor& model_output, size_t i, const torch::Tensor& sample,
                     std::optional<at::Generator> generator = std::nullopt) override;

 private:
  NoiseSchedule schedule_;
  double eta_;
};

}  // namespace sara
