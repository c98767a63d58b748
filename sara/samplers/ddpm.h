// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/samplers/sampler.h"

namespace sara {

// Ancestral sampling of denoising diffusion (Ho et al. 2020, equations 6, 7, 15). With a = alphas_cumprod at the step's
// timestep, p at the next one visited (1 after the last), b = 1 - a / p:
//   x0 = the picture the model output implies, clipped when clip_sample
//   mean = sqrt(p) b / (1 - a) x0 + sqrt(a / p) (1 - p) / (1 - a) x
//   x' = mean + sigma noise,  sigma^2 = (1 - p) / (1 - a) b  (fixed_small),  or b (fixed_large); no noise at timestep 0
class DdpmSampler : public Sampler {
 public:
  explicit DdpmSampler(const SchedulerConfig& config);
  void set_timesteps(int64_t steps) override;
  torch::Tensor step(const torch::Tensor& model_output, size_t i, const torch::Tensor& sample,
                     std::optional<at::Generator> generator = std::nullopt) override;

 private:
  NoiseSchedule schedule_;
};

// Shared with DDIM. The timesteps by timestep_spacing, integers, checked.
std::vector<double> integer_timesteps(const SchedulerConfig& config, int64_t steps);

// The picture and the noise that a model output implies at a timestep with alphas_cumprod `left` (0-dim fp32).
struct Implied {
  torch::Tensor picture, noise;
};
Implied implied(const SchedulerConfig& config, const torch::Tensor& model_output, const torch::Tensor& sample, const torch::Tensor& left);

}  // namespace sara
