// SPDX-License-Identifier: Apache-2.0
#include "sara/samplers/euler.h"

#include <torch/types.h>

#include <cmath>

#include "sara/base/error.h"
#include "sara/samplers/sigmas.h"
#include "sara/samplers/spacing.h"

namespace sara {

EulerSampler::EulerSampler(const SchedulerConfig& config) : schedule_(config) {
  refuse_unsupported(config);
  if (config.interpolation_type != "linear" && config.interpolation_type != "log_linear")
    throw InvalidArgument(message("interpolation_type ", config.interpolation_type, " is unknown (expected linear or log_linear)"));
}

void EulerSampler::set_timesteps(int64_t steps) {
  const SchedulerConfig& config = schedule_.config();
  const int64_t total = config.num_train_timesteps;
  check_steps(steps, total);
  if (config.timestep_spacing == "linspace")
    timesteps_ = linspace_timesteps(total, steps);
  else if (config.timestep_spacing == "trailing")
    timesteps_ = trailing_timesteps(total, steps, double(total) / double(steps));
  else
    timesteps_ = leading_timesteps(total, steps, config.steps_offset);
  for (double& t : timesteps_) t = float(t);
  check_timesteps(timesteps_, total);

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
  const torch::Tensor highest = sigmas_.max();
  if (schedule_.config().timestep_spacing != "leading") return highest.item<float>();
  return (highest.square() + 1).sqrt().item<float>();
}

torch::Tensor EulerSampler::scale_model_input(const torch::Tensor& sample, size_t i) {
  if (i >= timesteps_.size()) throw InvalidArgument(message("no sampling step ", i, " (expected below ", timesteps_.size(), ")"));
  return sample / (sigmas_[int64_t(i)].square() + 1).sqrt();
}

torch::Tensor EulerSampler::step(const torch::Tensor& model_output, size_t i, const torch::Tensor& sample, std::optional<at::Generator>) {
  check_step(model_output, i, sample);
  const torch::Tensor sigma = sigmas_[int64_t(i)], after = sigmas_[int64_t(i) + 1];
  const torch::Tensor x = sample.to(torch::kFloat32), output = model_output.to(torch::kFloat32);
  torch::Tensor picture;
  if (schedule_.config().prediction_type == "epsilon")
    picture = x - sigma * output;
  else if (schedule_.config().prediction_type == "v_prediction")
    picture = output * (-sigma / (sigma.square() + 1).sqrt()) + x / (sigma.square() + 1);
  else
    picture = output;
  return (x + (x - picture) / sigma * (after - sigma)).to(model_output.scalar_type());
}

}  // namespace sara
