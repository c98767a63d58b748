// SPDX-License-Identifier: Apache-2.0
#include "sara/samplers/dpm_solver.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>

#include "sara/base/error.h"
#include "sara/samplers/sigmas.h"
#include "sara/samplers/spacing.h"

namespace sara {
namespace {

// Timesteps with log(alpha / sigma) below lambda_min_clipped are left out of the walk.
int64_t usable_timesteps(const NoiseSchedule& schedule, const std::vector<float>& training) {
  const double least = schedule.config().lambda_min_clipped;
  const auto usable = std::ranges::count_if(training, [&](float sigma) { return -std::log(double(sigma)) >= least; });
  if (usable == 0) throw InvalidArgument(message("lambda_min_clipped ", least, " leaves no timestep. Fix: lower it in scheduler_config.json"));
  return usable;
}

}  // namespace

DpmSolverSampler::DpmSolverSampler(const SchedulerConfig& config) : schedule_(config) {
  refuse_unsupported(config);
  if (config.algorithm_type != "dpmsolver++" && config.algorithm_type != "deis")
    throw InvalidArgument(message("algorithm_type ", config.algorithm_type, " is not supported by dpm++2m (expected dpmsolver++)"));
  if (config.solver_order != 1 && config.solver_order != 2)
    throw InvalidArgument(message("solver_order ", config.solver_order, " is not supported by dpm++2m (expected 1 or 2)"));
  // The other names are diffusers' for solvers that fall back to midpoint there as well.
  const std::vector<std::string> solver_types = {"midpoint", "heun", "logrho", "bh1", "bh2"};
  if (std::ranges::find(solver_types, config.solver_type) == solver_types.end())
    throw InvalidArgument(message("solver_type ", config.solver_type, " is unknown (expected midpoint or heun)"));
  if (config.variance_type == "learned" || config.variance_type == "learned_range")
    throw InvalidArgument(message("variance_type ", *config.variance_type, " is not supported by dpm++2m"));
}

void DpmSolverSampler::set_timesteps(int64_t steps) {
  const SchedulerConfig& config = schedule_.config();
  const int64_t total = config.num_train_timesteps;
  check_steps(steps, total);
  const std::vector<float> training = training_sigmas(schedule_);
  const int64_t usable = usable_timesteps(schedule_, training);
  // Leading and linspace place one timestep more than steps and drop the cleanest: that is where the last step ends.
  if (config.timestep_spacing == "trailing") {
    timesteps_ = trailing_timesteps(usable, steps, double(total) / double(steps));
  } else {
    timesteps_ = config.timestep_spacing == "linspace" ? rounded(linspace_timesteps(usable, steps + 1))
                                                       : leading_timesteps(usable, steps + 1, config.steps_offset);
    timesteps_.pop_back();
  }
  check_timesteps(timesteps_, total);
  if (!config.use_karras_sigmas && std::ranges::adjacent_find(timesteps_) != timesteps_.end())
    throw InvalidArgument(message(steps, " sampling steps are too many for dpm++2m with ", config.timestep_spacing,
                                  " spacing: two would fall on one timestep. Fix: use fewer steps"));

  std::vector<double> sigmas;
  if (config.use_karras_sigmas) {
    sigmas = karras_sigmas(training.front(), training.back(), steps);
    timesteps_.resize(steps);
    for (int64_t i = 0; i < steps; ++i) {
      const double t = timestep_at(sigmas[i], training);
      timesteps_[i] = config.beta_schedule == "squaredcos_cap_v2" ? std::trunc(t) : std::nearbyint(t);
    }
  } else {
    sigmas = sigmas_at(timesteps_, training);
  }
  sigmas_ = torch::tensor(with_final_sigma(sigmas, config, training));
  picture_before_.reset();
  next_ = 0;
}

DpmSolverSampler::Level DpmSolverSampler::level(size_t i) const {
  const torch::Tensor sigma = sigmas_[int64_t(i)];
  const torch::Tensor alpha = 1 / (sigma.square() + 1).sqrt();
  const torch::Tensor scaled = sigma * alpha;
  return {alpha, scaled, alpha.log() - scaled.log()};
}

bool DpmSolverSampler::first_order(size_t i) const {
  const SchedulerConfig& config = schedule_.config();
  const bool last = i + 1 == timesteps_.size();
  return config.solver_order == 1 || i == 0 ||
         (last && (config.euler_at_final || (config.lower_order_final && timesteps_.size() < 15) || config.final_sigmas_type == "zero"));
}

torch::Tensor DpmSolverSampler::step(const torch::Tensor& model_output, size_t i, const torch::Tensor& sample, std::optional<at::Generator>) {
  check_step(model_output, i, sample);
  if (i != next_)
    throw InvalidArgument(message("dpm++2m steps come in order (expected step ", next_, ", got ", i, "). Fix: call set_timesteps to start again"));
  const SchedulerConfig& config = schedule_.config();
  const Level now = level(i), then = level(i + 1);
  const torch::Tensor x = sample.to(torch::kFloat32), output = model_output.to(torch::kFloat32);
  torch::Tensor picture;
  if (config.prediction_type == "epsilon")
    picture = (x - now.sigma * output) / now.alpha;
  else if (config.prediction_type == "v_prediction")
    picture = now.alpha * x - now.sigma * output;
  else
    picture = output;

  const torch::Tensor h = then.lambda - now.lambda, decay = (-h).exp() - 1;
  torch::Tensor next = (then.sigma / now.sigma) * x - (then.alpha * decay) * picture;
  if (!first_order(i)) {
    const torch::Tensor ratio = (now.lambda - level(i - 1).lambda) / h;
    const torch::Tensor slope = (1 / ratio) * (picture - picture_before_);
    if (config.solver_type == "heun")
      next = next + (then.alpha * (decay / h + 1)) * slope;
    else
      next = next - 0.5 * (then.alpha * decay) * slope;
  }
  picture_before_ = picture;
  ++next_;
  return next.to(model_output.scalar_type());
}

}  // namespace sara
