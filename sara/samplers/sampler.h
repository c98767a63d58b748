// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "sara/samplers/noise_schedule.h"

namespace sara {

// Walks latents from noise to picture:
//   sampler.set_timesteps(30);
//   sample = noise * sampler.init_noise_sigma();
//   for (size_t i = 0; i < sampler.timesteps().size(); ++i)
//     sample = sampler.step(denoiser(sampler.scale_model_input(sample, i), sampler.timesteps()[i]), i, sample, generator);
// Steps are taken in order, 0 first. Samples and model outputs are [B, ...] of one shape and dtype; the arithmetic is
// fp32, the result has the model output's dtype. Numbers agree with diffusers' schedulers.
class Sampler {
 public:
  virtual ~Sampler() = default;

  // Throws InvalidArgument unless 1 <= steps <= num_train_timesteps and every timestep is one the model was trained on.
  virtual void set_timesteps(int64_t steps) = 0;

  // Noisiest first; what the denoiser is told. Empty before set_timesteps.
  const std::vector<double>& timesteps() const { return timesteps_; }

  // Standard deviation of the first sample.
  virtual double init_noise_sigma() const { return 1.0; }

  // What the denoiser is shown at step i.
  virtual torch::Tensor scale_model_input(const torch::Tensor& sample, size_t) { return sample; }

  // The sample after step i. `generator` gives the noise of samplers that add some; without one torch's default is used.
  virtual torch::Tensor step(const torch::Tensor& model_output, size_t i, const torch::Tensor& sample,
                             std::optional<at::Generator> generator = std::nullopt) = 0;

 protected:
  // Throws InvalidArgument when i is not a step or the shapes differ.
  void check_step(const torch::Tensor& model_output, size_t i, const torch::Tensor& sample) const;

  std::vector<double> timesteps_;
};

// Normal noise like `like`, drawn on the generator's device (so that a CPU generator gives the same picture on a GPU), in
// like's dtype.
torch::Tensor noise_like(const torch::Tensor& like, const std::optional<at::Generator>& generator);

// Throws InvalidArgument naming the first setting of `config` that is on and that no sampler here has: thresholding,
// exponential, beta, lu or flow sigmas, continuous timesteps.
void refuse_unsupported(const SchedulerConfig& config);

}  // namespace sara
