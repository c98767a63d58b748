// SPDX-License-Identifier: Apache-2.0
#include "sara/samplers/euler_ancestral.h"

#include <torch/types.h>

#include "sara/base/error.h"
#include "sara/samplers/sigmas.h"

namespace sara {

EulerAncestralSampler::EulerAncestralSampler(const SchedulerConfig& config) : schedule_(config) { refuse_unsupported(config); }

void EulerAncestralSampler::set_timesteps(int64_t steps) {
  timesteps_ = sigma_timesteps(schedule_.config(), steps);
  const std::vector<double> levels = sigmas_at(timesteps_, training_sigmas(schedule_));
  std::vector<float> sigmas(levels.begin(), levels.end());
  sigmas.push_back(0.0f);
  sigmas_ = torch::tensor(sigmas);
}

double EulerAncestralSampler::init_noise_sigma() const {
  if (timesteps_.empty()) throw InvalidArgument("the first noise level is not known yet. Fix: call set_timesteps first");
  return first_noise(sigmas_, schedule_.config());
}

torch::Tensor EulerAncestralSampler::scale_model_input(const torch::Tensor& sample, size_t i) {
  if (i >= timesteps_.size()) throw InvalidArgument(message("no sampling step ", i, " (expected below ", timesteps_.size(), ")"));
  return sample / (sigmas_[int64_t(i)].square() + 1).sqrt();
}

torch::Tensor EulerAncestralSampler::step(const torch::Tensor& model_output, size_t i, const torch::Tensor& sample, std::optional<at::Generator> generator) {
  check_step(model_output, i, sample);
  const torch::Tensor sigma = sigmas_[int64_t(i)], after = sigmas_[int64_t(i) + 1];
  const torch::Tensor x = sample.to(torch::kFloat32);
  const torch::Tensor picture = picture_at(schedule_.config(), model_output.to(torch::kFloat32), x, sigma);
  const torch::Tensor up = (after.square() * (sigma.square() - after.square()) / sigma.square()).sqrt();
  const torch::Tensor down = (after.square() - up.square()).sqrt();
  const torch::Tensor next = x + (x - picture) / sigma * (down - sigma) + noise_like(model_output, generator) * up;
  return next.to(model_output.scalar_type());
}

}  // namespace sara
