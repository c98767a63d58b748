// SPDX-License-Identifier: Apache-2.0
#include "sara/samplers/euler.h"

#include <torch/types.h>

#include <cmath>

#include "sara/base/error.h"
#include "sara/samplers/sigmas.h"

namespace sara {

EulerSampler::EulerSampler(const SchedulerConfig& config) : schedule_(config) {
  refuse_unsupported(config);
  if (config.interpolation_type != "linear" && config.interpolation_type != "log_linear")
    throw InvalidArgument(message("interpolation_type ", config.interpolation_type, " is unknown (expected linear or log_linear)"));
}

void EulerSampler::set_timesteps(int64_t steps) {
  const SchedulerConfig& config = schedule_.config();
  timesteps_ = sigma_timesteps(config, steps);
  const std::vector<float> training = training_sigmas(schedule_);
  std::vector<double> sigmas;
  if (config.interpolation_type == "log_linear") {
    // One level more than steps: the last step ends at the smallest training sigma, not at final_sigmas_type's.
    const torch::Tensor levels =
        torch::linspace(std::log(training.back()), std::log(training.front()), steps + 1, torch::TensorOptions().dtype(torch::kFloat32)).exp();
    sigmas.assign(levels.data_ptr<float>(), levels.data_ptr<float>() + levels.numel());
  } else {
    sigmas = sigmas_at(timesteps_, training);
  }
  if (config.use_karras_sigmas) {
    sigmas = karras_sigmas(config.sigma_min.value_or(sigmas.back()), config.sigma_max.value_or(sigmas.front()), steps);
    for (int64_t i = 0; i < steps; ++i) timesteps_[i] = float(timestep_at(sigmas[i], training));
  }
  sigmas_ = torch::tensor(with_final_sigma(sigmas, config, training));
}

double EulerSampler::init_noise_sigma() const {
  if (timesteps_.empty()) throw InvalidArgument("the first noise level is not known yet. Fix: call set_timesteps first");
  return first_noise(sigmas_, schedule_.config());
}

torch::Tensor EulerSampler::scale_model_input(const torch::Tensor& sample, size_t i) {
  if (i >= timesteps_.size()) throw InvalidArgument(message("no sampling step ", i, " (expected below ", timesteps_.size(), ")"));
  return sample / (sigmas_[int64_t(i)].square() + 1).sqrt();
}

torch::Tensor EulerSampler::step(const torch::Tensor& model_output, size_t i, const torch::Tensor& sample, std::optional<at::Generator>) {
  check_step(model_output, i, sample);
  const torch::Tensor sigma = sigmas_[int64_t(i)], after = sigmas_[int64_t(i) + 1];
  const torch::Tensor x = sample.to(torch::kFloat32);
  const torch::Tensor picture = picture_at(schedule_.config(), model_output.to(torch::kFloat32), x, sigma);
  return (x + (x - picture) / sigma * (after - sigma)).to(model_output.scalar_type());
}

}  // namespace sara
