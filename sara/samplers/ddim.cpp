// SPDX-License-Identifier: Apache-2.0
#include "sara/samplers/ddim.h"

#include <torch/types.h>

#include "sara/base/error.h"
#include "sara/samplers/ddpm.h"

namespace sara {

DdimSampler::DdimSampler(const SchedulerConfig& config, double eta) : schedule_(config), eta_(eta) {
  refuse_unsupported(config);
  if (!(eta >= 0 && eta <= 1)) throw InvalidArgument(message("wrong eta (expected in [0, 1], got ", eta, ")"));
}

void DdimSampler::set_timesteps(int64_t steps) { timesteps_ = integer_timesteps(schedule_.config(), steps); }

torch::Tensor DdimSampler::step(const torch::Tensor& model_output, size_t i, const torch::Tensor& sample, std::optional<at::Generator> generator) {
  check_step(model_output, i, sample);
  const SchedulerConfig& config = schedule_.config();
  const auto timestep = int64_t(timesteps_[i]);
  const int64_t previous = timestep - config.num_train_timesteps / int64_t(timesteps_.size());
  const torch::Tensor& left = schedule_.alphas_cumprod();
  const torch::Tensor a = left[timestep];
  const torch::Tensor p = previous >= 0 ? left[previous] : config.set_alpha_to_one ? torch::tensor(1.0f) : left[0];

  const torch::Tensor x = sample.to(torch::kFloat32);
  Implied from_model = implied(config, model_output.to(torch::kFloat32), x, a);
  if (config.clip_sample) from_model.picture = from_model.picture.clamp(-config.clip_sample_range, config.clip_sample_range);
  const torch::Tensor sigma = eta_ * ((1 - p) / (1 - a) * (1 - a / p)).sqrt();
  torch::Tensor next = p.sqrt() * from_model.picture + (1 - p - sigma.square()).sqrt() * from_model.noise;
  if (eta_ > 0) next = next + sigma * noise_like(model_output, generator);
  return next.to(model_output.scalar_type());
}

}  // namespace sara
