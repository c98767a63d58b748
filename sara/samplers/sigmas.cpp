// SPDX-License-Identifier: Apache-2.0
#include "sara/samplers/sigmas.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "sara/samplers/spacing.h"

namespace sara {

std::vector<double> sigma_timesteps(const SchedulerConfig& config, int64_t steps) {
  const int64_t total = config.num_train_timesteps;
  check_steps(steps, total);
  std::vector<double> timesteps;
  if (config.timestep_spacing == "linspace")
    timesteps = linspace_timesteps(total, steps);
  else if (config.timestep_spacing == "trailing")
    timesteps = trailing_timesteps(total, steps, double(total) / double(steps));
  else
    timesteps = leading_timesteps(total, steps, config.steps_offset);
  for (double& t : timesteps) t = float(t);
  check_timesteps(timesteps, total);
  return timesteps;
}

std::vector<float> training_sigmas(const NoiseSchedule& schedule) {
  torch::Tensor left = schedule.alphas_cumprod().clone();
  if (schedule.config().rescale_betas_zero_snr) left[-1] = std::ldexp(1.0, -24);
  const torch::Tensor sigmas = ((1 - left) / left).sqrt().contiguous();
  return {sigmas.data_ptr<float>(), sigmas.data_ptr<float>() + sigmas.numel()};
}

std::vector<double> sigmas_at(const std::vector<double>& timesteps, const std::vector<float>& training) {
  std::vector<double> sigmas;
  for (const double t : timesteps) {
    const auto low = size_t(std::clamp(std::floor(t), 0.0, double(training.size() - 1)));
    if (low + 1 == training.size() || t <= 0) {
      sigmas.push_back(training[low]);
    } else {
      const double slope = double(training[low + 1]) - double(training[low]);
      sigmas.push_back(slope * (t - double(low)) + double(training[low]));
    }
  }
  return sigmas;
}

double timestep_at(double sigma, const std::vector<float>& training) {
  const double wanted = std::log(std::max(sigma, 1e-10));
  const auto level = [&](size_t t) { return double(std::log(training[t])); };
  size_t low = 0;
  for (size_t t = 0; t < training.size(); ++t)
    if (level(t) <= wanted) low = t;
  if (training.size() == 1) return 0;
  low = std::min(low, training.size() - 2);
  const double weight = std::clamp((level(low) - wanted) / (level(low) - level(low + 1)), 0.0, 1.0);
  return (1 - weight) * double(low) + weight * double(low + 1);
}

std::vector<double> karras_sigmas(double low, double high, int64_t n) {
  constexpr double kRho = 7;
  const double from = std::pow(high, 1 / kRho), to = std::pow(low, 1 / kRho);
  std::vector<double> sigmas(n);
  for (int64_t i = 0; i < n; ++i) sigmas[i] = std::pow(from + (n > 1 ? double(i) / double(n - 1) : 0.0) * (to - from), kRho);
  return sigmas;
}

torch::Tensor picture_at(const SchedulerConfig& config, const torch::Tensor& output, const torch::Tensor& sample, const torch::Tensor& sigma) {
  if (config.prediction_type == "epsilon") return sample - sigma * output;
  if (config.prediction_type == "v_prediction") return output * (-sigma / (sigma.square() + 1).sqrt()) + sample / (sigma.square() + 1);
  return output;
}

double first_noise(const torch::Tensor& sigmas, const SchedulerConfig& config) {
  const torch::Tensor highest = sigmas.max();
  if (config.timestep_spacing != "leading") return highest.item<float>();
  return (highest.square() + 1).sqrt().item<float>();
}

std::vector<float> with_final_sigma(const std::vector<double>& sigmas, const SchedulerConfig& config, const std::vector<float>& training) {
  std::vector<float> all(sigmas.begin(), sigmas.end());
  all.push_back(config.final_sigmas_type == "sigma_min" ? training.front() : 0.0f);
  return all;
}

}  // namespace sara
