// SPDX-License-Identifier: Apache-2.0
#include "sara/train/objective.h"

#include <torch/types.h>

#include <numbers>
#include <utility>

#include "sara/base/error.h"
#include "sara/base/random.h"
#include "sara/samplers/flow_match.h"

namespace sara {
namespace {

// The first option that was given, by name; empty when there is none.
std::string first_given(FlowOptions options) {
  std::string name;
  options.visit([&](const char* key, const auto& value, const char*, const Legal& = {}) {
    if (value && name.empty()) name = key;
  });
  return name;
}

void need_scheme(const char* option, bool given, const std::string& scheme, const std::string& needed) {
  if (given && scheme != needed)
    throw InvalidArgument(message(option, ": no effect with weighting_scheme ", scheme, " (expected ", needed, "). Fix: leave it out"));
}

torch::Tensor per_picture(const torch::Tensor& values, const torch::Tensor& like) {
  std::vector<int64_t> shape(like.dim(), 1);
  shape[0] = like.size(0);
  return values.view(shape);
}

}  // namespace

std::pair<int64_t, int64_t> trained_timesteps(const TrainOptions& options, int64_t num_train_timesteps) {
  const int64_t end = options.max_timestep.value_or(num_train_timesteps);
  if (end > num_train_timesteps)
    throw InvalidArgument(message("max_timestep: past the model's schedule (expected at most ", num_train_timesteps, ", got ", end, "). Fix: lower it, or leave it out"));
  if (options.min_timestep >= end)
    throw InvalidArgument(message("min_timestep: no timestep is left (expected less than ", end, ", got ", options.min_timestep, "). Fix: lower it, or raise max_timestep"));
  return {options.min_timestep, end};
}

LossTerms LossTerms::rows(int64_t first, int64_t count) const {
  const auto part = [&](const torch::Tensor& all) { return all.defined() ? all.narrow(0, first, count) : all; };
  return {part(target), part(weights), part(offset), part(factor)};
}

LossTerms LossTerms::to(torch::Device device) const {
  const auto there = [&](const torch::Tensor& tensor) { return tensor.defined() ? tensor.to(device) : tensor; };
  return {there(target), there(weights), there(offset), there(factor)};
}

torch::Tensor task_loss(const torch::Tensor& answer, const LossTerms& terms) {
  const auto weights = terms.weights.defined() ? std::optional(terms.weights) : std::nullopt;
  return denoising_loss(terms.factor.defined() ? terms.offset + terms.factor * answer.to(torch::kFloat) : answer, terms.target, weights);
}

DiffusionObjective::DiffusionObjective(NoiseSchedule schedule, std::optional<double> snr_gamma)
    : schedule_(std::move(schedule)), snr_gamma_(snr_gamma) {}

NoisyBatch DiffusionObjective::noisy(const torch::Tensor& latents, const NoiseDraws& draws, uint64_t) const {
  return {draws.timesteps, draws.timesteps, schedule_.add_noise(latents, draws.noise, draws.timesteps), latents, draws.noise};
}

LossTerms DiffusionObjective::terms(const NoisyBatch& batch) const {
  LossTerms terms{schedule_.target(batch.latents, batch.noise, batch.timesteps)};
  if (snr_gamma_) terms.weights = snr_weights(schedule_, batch.timesteps, *snr_gamma_);
  return terms;
}

FlowObjective::FlowObjective(const SchedulerConfig& config, const FlowOptions& options, std::pair<int64_t, int64_t> range)
    : schedule_(config),
      scheme_(options.weighting_scheme.value_or("logit_normal")),
      logit_mean_(options.logit_mean.value_or(0.0)),
      logit_std_(options.logit_std.value_or(1.0)),
      mode_scale_(options.mode_scale.value_or(1.29)),
      precondition_outputs_(options.precondition_outputs.value_or(0) == 1),
      range_(range) {
  need_scheme("logit_mean", options.logit_mean.has_value(), scheme_, "logit_normal");
  need_scheme("logit_std", options.logit_std.has_value(), scheme_, "logit_normal");
  need_scheme("mode_scale", options.mode_scale.has_value(), scheme_, "mode");
}

torch::Tensor FlowObjective::drawn_shares(int64_t count, uint64_t key) const {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(key);
  if (scheme_ == "logit_normal") return (torch::randn({count}, generator, torch::kFloat) * logit_std_ + logit_mean_).sigmoid();
  const auto r = torch::rand({count}, generator, torch::kFloat);
  if (scheme_ != "mode") return r;
  return 1 - r - mode_scale_ * ((r * (std::numbers::pi / 2)).cos().square() - 1 + r);
}

NoisyBatch FlowObjective::noisy(const torch::Tensor& latents, const NoiseDraws& draws, uint64_t key) const {
  const auto [first, end] = range_;
  const int64_t count = latents.size(0);
  const auto shares = drawn_shares(draws.rows_before + count + draws.rows_behind, key).narrow(0, draws.rows_before, count);
  const auto from_noisiest = (shares * double(end - first)).to(torch::kLong).clamp(0, end - first - 1);
  const auto timesteps = end - 1 - from_noisiest;
  const auto told = schedule_.sigmas(timesteps) * double(schedule_.num_train_timesteps());
  return {timesteps, told, schedule_.add_noise(latents, draws.noise, timesteps), latents, draws.noise};
}

LossTerms FlowObjective::terms(const NoisyBatch& batch) const {
  const auto sigmas = schedule_.sigmas(batch.timesteps);
  LossTerms terms{precondition_outputs_ ? batch.latents : batch.noise - batch.latents};
  if (scheme_ == "sigma_sqrt") terms.weights = sigmas.square().reciprocal();
  if (scheme_ == "cosmap") terms.weights = 2 / (std::numbers::pi * (1 - 2 * sigmas + 2 * sigmas.square()));
  if (precondition_outputs_) {
    terms.offset = batch.noisy;
    terms.factor = -per_picture(sigmas, batch.noisy);
  }
  return terms;
}

std::unique_ptr<Objective> make_objective(const SchedulerConfig& config, const TrainOptions& options, const FlowOptions& flow) {
  if (!config.is_flow()) {
    if (const auto name = first_given(flow); !name.empty())
      throw InvalidArgument(message(name, ": only flow-matching models (SD 3) have it. Fix: leave it out"));
    trained_timesteps(options, config.num_train_timesteps);
    return std::make_unique<DiffusionObjective>(NoiseSchedule(config), options.snr_gamma);
  }
  if (options.snr_gamma) throw InvalidArgument("snr_gamma: not for flow-matching models. Fix: use --weighting-scheme, or leave it out");
  FlowMatchSampler{config};  // refuses settings that are not computed here
  return std::make_unique<FlowObjective>(config, flow, trained_timesteps(options, config.num_train_timesteps));
}

}  // namespace sara
