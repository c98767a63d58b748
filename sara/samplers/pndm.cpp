// SPDX-License-Identifier: Apache-2.0
#include "sara/samplers/pndm.h"

#include <torch/types.h>

#include "sara/base/error.h"
#include "sara/samplers/ddpm.h"

namespace sara {
namespace {

constexpr size_t kCalls = 4;  // of one Runge-Kutta step

// The Runge-Kutta steps between the first four timesteps: both ends and, twice, the middle.
std::vector<double> runge_kutta_timesteps(const std::vector<double>& timesteps, int64_t half) {
  std::vector<double> calls;
  for (size_t i = 0; i + 1 < kCalls; ++i) {
    const double middle = timesteps[i + 1] + double(half);
    calls.insert(calls.end(), {timesteps[i], middle, middle, timesteps[i + 1]});
  }
  return calls;
}

}  // namespace

PndmSampler::PndmSampler(const SchedulerConfig& config) : schedule_(config) {
  refuse_unsupported(config);
  if (config.prediction_type == "sample")
    throw InvalidArgument("sampler pndm has no prediction_type sample (expected epsilon or v_prediction). Fix: use another --sampler, such as ddim");
  if (config.rescale_betas_zero_snr)
    throw InvalidArgument("sampler pndm cannot start at zero SNR, which scheduler_config.json asks for. Fix: use another --sampler, such as ddim");
}

void PndmSampler::set_timesteps(int64_t steps) {
  const SchedulerConfig& config = schedule_.config();
  timesteps_ = integer_timesteps(config, steps);
  stride_ = config.num_train_timesteps / steps;
  answers_.clear();
  next_ = 0;
  if (config.skip_prk_steps) {
    runge_kutta_ = 0;
    if (steps > 1) timesteps_.insert(timesteps_.begin() + 1, timesteps_[1]);
    return;
  }
  if (steps < int64_t(kCalls))
    throw InvalidArgument(message("sampler pndm needs at least ", kCalls, " steps with Runge-Kutta steps (got ", steps,
                                  "). Fix: pass more --steps, or set skip_prk_steps in scheduler_config.json"));
  const auto first = runge_kutta_timesteps(timesteps_, stride_ / 2);
  runge_kutta_ = first.size();
  timesteps_.erase(timesteps_.begin(), timesteps_.begin() + kCalls - 1);
  timesteps_.insert(timesteps_.begin(), first.begin(), first.end());
}

torch::Tensor PndmSampler::step(const torch::Tensor& model_output, size_t i, const torch::Tensor& sample, std::optional<at::Generator>) {
  check_step(model_output, i, sample);
  if (i != next_) throw InvalidArgument(message("sampler pndm takes its steps in order (expected step ", next_, ", got ", i, ")"));
  ++next_;
  const torch::Tensor output = model_output.to(torch::kFloat32), x = sample.to(torch::kFloat32);
  return (i < runge_kutta_ ? runge_kutta_step(output, i, x) : multistep(output, i, x)).to(model_output.scalar_type());
}

torch::Tensor PndmSampler::runge_kutta_step(const torch::Tensor& output, size_t i, const torch::Tensor& sample) {
  const size_t call = i % kCalls;
  const auto from = int64_t(timesteps_[i - call]), now = int64_t(timesteps_[i]);
  if (call == 0) {
    start_ = sample;
    sum_ = output / 6;
    answers_.push_back(output);
    return transfer(start_, from, now - stride_ / 2, output);
  }
  if (call == kCalls - 1) return transfer(start_, from, now, sum_ + output / 6);
  sum_ = sum_ + output / 3;
  return transfer(start_, from, call == 1 ? now : now - stride_ / 2, output);
}

torch::Tensor PndmSampler::multistep(const torch::Tensor& output, size_t i, const torch::Tensor& sample) {
  const auto now = int64_t(timesteps_[i]);
  if (runge_kutta_ == 0 && i == 1) return transfer(start_, now + stride_, now, (output + answers_.back()) / 2);
  if (answers_.size() == 4) answers_.erase(answers_.begin());
  answers_.push_back(output);
  if (i == 0) start_ = sample;
  const auto ago = [&](size_t n) { return answers_[answers_.size() - 1 - n]; };
  torch::Tensor mean = output;
  if (answers_.size() == 2) mean = (3 * ago(0) - ago(1)) / 2;
  if (answers_.size() == 3) mean = (23 * ago(0) - 16 * ago(1) + 5 * ago(2)) / 12;
  if (answers_.size() == 4) mean = (55 * ago(0) - 59 * ago(1) + 37 * ago(2) - 9 * ago(3)) / 24;
  return transfer(sample, now, now - stride_, mean);
}

torch::Tensor PndmSampler::transfer(const torch::Tensor& sample, int64_t from, int64_t to, const torch::Tensor& output) const {
  const SchedulerConfig& config = schedule_.config();
  const torch::Tensor& left = schedule_.alphas_cumprod();
  const torch::Tensor a = left[from];
  const torch::Tensor p = to >= 0 ? left[to] : config.set_alpha_to_one ? torch::tensor(1.0f) : left[0];
  const torch::Tensor noise = config.prediction_type == "v_prediction" ? a.sqrt() * output + (1 - a).sqrt() * sample : output;
  return (p / a).sqrt() * sample - (p - a) * noise / (a * (1 - p).sqrt() + (a * (1 - a) * p).sqrt());
}

}  // namespace sara
