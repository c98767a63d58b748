// SPDX-License-Identifier: Apache-2.0
#include "sara/samplers/ddpm.h"

#include <torch/types.h>

#include "sara/base/error.h"
#include "sara/samplers/spacing.h"

namespace sara {

std::vector<double> integer_timesteps(const SchedulerConfig& config, int64_t steps) {
  const int64_t total = config.num_train_timesteps;
  check_steps(steps, total);
  std::vector<double> timesteps;
  if (config.timestep_spacing == "linspace")
    timesteps = rounded(linspace_timesteps(total, steps));
  else if (config.timestep_spacing == "trailing")
    timesteps = trailing_timesteps(total, steps, double(total) / double(steps));
  else
    timesteps = leading_timesteps(total, steps, config.steps_offset);
  check_timesteps(timesteps, total);
  return timesteps;
}

Implied implied(const SchedulerConfig& config, const torch::Tensor& model_output, const torch::Tensor& sample, const torch::Tensor& left) {
  const torch::Tensor picture_share = left.sqrt(), noise_share = (1 - left).sqrt();
  if (config.prediction_type == "v_prediction")
    return {picture_share * sample - noise_share * model_output, picture_share * model_output + noise_share * sample};
  if (config.prediction_type == "sample") return {model_output, (sample - picture_share * model_output) / noise_share};
  if (left.item<float>() == 0)
    throw InvalidArgument(
        "noise prediction says nothing about the picture at a timestep with zero signal "
        "(rescale_betas_zero_snr with prediction_type epsilon). Fix: use euler or dpm++2m, or v_prediction");
  return {(sample - noise_share * model_output) / picture_share, model_output};
}

DdpmSampler::DdpmSampler(const SchedulerConfig& config) : schedule_(config) {
  refuse_unsupported(config);
  const std::string variance = config.variance_type.value_or("fixed_small");
  if (variance != "fixed_small" && variance != "fixed_small_log" && variance != "fixed_large")
    throw InvalidArgument(message("variance_type ", variance, " is not supported by ddpm (expected fixed_small, fixed_small_log ",
                                  "or fixed_large). Fix: use another sampler, or change scheduler_config.json"));
}

void DdpmSampler::set_timesteps(int64_t steps) { timesteps_ = integer_timesteps(schedule_.config(), steps); }

torch::Tensor DdpmSampler::step(const torch::Tensor& model_output, size_t i, const torch::Tensor& sample, std::optional<at::Generator> generator) {
  check_step(model_output, i, sample);
  const SchedulerConfig& config = schedule_.config();
  const auto timestep = int64_t(timesteps_[i]);
  const torch::Tensor a = schedule_.alphas_cumprod()[timestep];
  const torch::Tensor p = i + 1 < timesteps_.size() ? schedule_.alphas_cumprod()[int64_t(timesteps_[i + 1])] : torch::tensor(1.0f);
  const torch::Tensor kept = a / p, b = 1 - kept;

  const torch::Tensor x = sample.to(torch::kFloat32);
  torch::Tensor picture = implied(config, model_output.to(torch::kFloat32), x, a).picture;
  if (config.clip_sample) picture = picture.clamp(-config.clip_sample_range, config.clip_sample_range);
  torch::Tensor next = (p.sqrt() * b) / (1 - a) * picture + kept.sqrt() * (1 - p) / (1 - a) * x;
  if (timestep > 0) {
    torch::Tensor variance = config.variance_type == "fixed_large" ? b : ((1 - p) / (1 - a) * b).clamp_min(1e-20);
    // "log" here means the root taken through the logarithm, as published checkpoints expect.
    const torch::Tensor sigma = config.variance_type == "fixed_small_log" ? (0.5 * variance.log()).exp() : variance.sqrt();
    next = next + sigma * noise_like(model_output, generator);
  }
  return next.to(model_output.scalar_type());
}

}  // namespace sara
