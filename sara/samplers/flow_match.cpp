// SPDX-License-Identifier: Apache-2.0
#include "sara/samplers/flow_match.h"

#include <torch/types.h>

#include "sara/base/error.h"
#include "sara/samplers/spacing.h"

namespace sara {
namespace {

// In the type of the argument: the published levels are fp32 in training and fp64 when sampling.
template <class T>
T shifted(T sigma, T shift) {
  return shift * sigma / (1 + (shift - 1) * sigma);
}

}  // namespace

std::vector<float> flow_sigmas(const SchedulerConfig& config) {
  const int64_t total = config.num_train_timesteps;
  std::vector<float> sigmas;
  for (int64_t t = total; t > 0; --t) sigmas.push_back(shifted(float(t) / float(total), float(config.shift)));
  return sigmas;
}

FlowMatchSampler::FlowMatchSampler(const SchedulerConfig& config) : config_(config) {
  refuse_unsupported(config);
  const std::pair<const char*, bool> settings[] = {{"use_dynamic_shifting", config.use_dynamic_shifting},
                                                   {"invert_sigmas", config.invert_sigmas},
                                                   {"stochastic_sampling", config.stochastic_sampling},
                                                   {"shift_terminal", config.shift_terminal.has_value()},
                                                   {"use_karras_sigmas", config.use_karras_sigmas}};
  for (const auto& [name, on] : settings)
    if (on) throw InvalidArgument(message("scheduler_config.json sets ", name, ", which sara does not have for flow matching. Fix: leave it out"));
}

void FlowMatchSampler::set_timesteps(int64_t steps) {
  const int64_t total = config_.num_train_timesteps;
  check_steps(steps, total);
  const auto ends = flow_sigmas(config_);
  const double from = double(ends.front()) * double(total), to = double(ends.back()) * double(total);
  const double stride = steps > 1 ? (to - from) / double(steps - 1) : 0.0;
  timesteps_.clear();
  sigmas_.clear();
  for (int64_t i = 0; i < steps; ++i) {
    const double place = i > 0 && i + 1 == steps ? to : double(i) * stride + from;
    sigmas_.push_back(float(shifted(place / double(total), config_.shift)));
    timesteps_.push_back(sigmas_.back() * float(total));
  }
  sigmas_.push_back(0.0f);
}

torch::Tensor FlowMatchSampler::step(const torch::Tensor& model_output, size_t i, const torch::Tensor& sample, std::optional<at::Generator>) {
  check_step(model_output, i, sample);
  const auto x = sample.to(torch::kFloat32), velocity = model_output.to(torch::kFloat32);
  return (x + (sigmas_[i + 1] - sigmas_[i]) * velocity).to(model_output.scalar_type());
}

}  // namespace sara
