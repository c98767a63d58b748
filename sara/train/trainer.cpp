// SPDX-License-Identifier: Apache-2.0
#include "sara/train/trainer.h"

#include <torch/types.h>

#include <chrono>
#include <cmath>

#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/base/random.h"
#include "sara/optim/lr_curve.h"
#include "sara/train/loss.h"

namespace sara {

std::pair<int64_t, int64_t> trained_timesteps(const TrainOptions& options, int64_t num_train_timesteps) {
  const int64_t end = options.max_timestep.value_or(num_train_timesteps);
  if (end > num_train_timesteps)
    throw InvalidArgument(message("max_timestep: past the model's schedule (expected at most ", num_train_timesteps, ", got ", end, "). Fix: lower it, or leave it out"));
  if (options.min_timestep >= end)
    throw InvalidArgument(message("min_timestep: no timestep is left (expected less than ", end, ", got ", options.min_timestep, "). Fix: lower it, or raise max_timestep"));
  return {options.min_timestep, end};
}

Trainer::Trainer(Denoiser& denoiser, Method& method, const NoiseSchedule& schedule, const TrainingData& data, const TrainOptions& options,
                 uint64_t seed, double lr)
    : denoiser_(denoiser), method_(method), schedule_(schedule), data_(data), options_(options), seed_(seed), lr_(lr),
      timesteps_(trained_timesteps(options, schedule.num_train_timesteps())),
      order_(data.latents.samples, options.batch_size, seed) {
  if (options.precision == "fp16") loss_scale_.emplace();
}

torch::Tensor Trainer::micro_batch_loss(TrainingStep& step, int64_t part) {
  const int64_t batch = (step.step - 1) * options_.gradient_accumulation_steps + part;
  std::vector<int64_t> latent_rows, text_rows;
  for (const auto& draw : order_.draws(batch)) {
    latent_rows.push_back(data_.latents.row(draw.sample, is_flipped(data_.transforms, seed_, draw.epoch, draw.sample)));
    text_rows.push_back(data_.text.row(draw.sample, seed_, draw.epoch));
    step.samples.push_back(draw.sample);
  }
  const auto rows = torch::tensor(latent_rows, torch::kLong);
  const auto mean = data_.latents.mean.index_select(0, rows).to(torch::kFloat);
  const auto std = data_.latents.std.index_select(0, rows).to(torch::kFloat);
  const auto draws = draw_noise(mean.sizes(), timesteps_.first, timesteps_.second, options_.noise_offset, options_.caption_dropout,
                                stream_key(seed_, "noise", step.step, part));
  for (int64_t i = 0; i < draws.timesteps.numel(); ++i) step.timesteps.push_back(draws.timesteps[i].item<int64_t>());
  for (size_t i = 0; i < text_rows.size(); ++i) {
    if (draws.dropped[i].item<bool>()) text_rows[i] = TextCache::kEmpty;
  }
  const auto latents = (mean + std * draws.posterior_noise - data_.shift_factor) * data_.scaling_factor;
  const auto noisy = schedule_.add_noise(latents, draws.noise, draws.timesteps);
  const auto target = schedule_.target(latents, draws.noise, draws.timesteps);
  const auto texts = torch::tensor(text_rows, torch::kLong);
  const auto context = data_.text.hidden.index_select(0, texts);

  const auto weight = denoiser_.parameters().front();
  const auto inputs = denoiser_.inputs();
  AddedConditions added;
  if (inputs.pooled_width > 0) added.pooled_text = data_.text.pooled.index_select(0, texts).to(weight.options());
  if (inputs.time_ids) added.time_ids = data_.latents.time_ids.index_select(0, rows).to(weight.device());
  const auto predicted = denoiser_.forward(noisy.to(weight.options()), draws.timesteps.to(weight.device()), context.to(weight.options()), added);
  std::optional<torch::Tensor> weights;
  if (options_.snr_gamma) weights = snr_weights(schedule_, draws.timesteps, *options_.snr_gamma);
  return denoising_loss(predicted, target.to(weight.device()), weights);
}

void Trainer::run(const std::function<bool(const TrainingStep&)>& after) {
  using Clock = std::chrono::steady_clock;
  denoiser_.train();
  int64_t skipped = 0;
  for (int64_t step = 1; step <= options_.steps; ++step) {
    const auto start = Clock::now();
    TrainingStep done;
    done.step = step;
    for (int64_t part = 0; part < options_.gradient_accumulation_steps; ++part) {
      auto loss = micro_batch_loss(done, part) / double(options_.gradient_accumulation_steps);
      const auto value = loss.item<double>();
      if (!std::isfinite(value)) loss = loss * std::nan("");  // an infinite loss may have a finite gradient: spoil it, so that the step is skipped
      (loss_scale_ ? loss * loss_scale_->scale() : loss).backward();
      done.loss += value;
    }
    done.lr = lr_ * lr_curve(options_.lr_scheduler, step, options_.steps, options_.lr_warmup_steps);
    if (loss_scale_) {
      done.loss_scale = loss_scale_->scale();
      method_.scale_gradient_(1 / loss_scale_->scale());
    }
    done.report = method_.step(step, done.lr);
    if (loss_scale_) {
      done.overflowed = done.report.skipped && std::isfinite(done.loss) && loss_scale_->can_fall();
      loss_scale_->update(done.report.skipped);
    }
    done.seconds = std::chrono::duration<double>(Clock::now() - start).count();
    if (!done.overflowed) skipped = done.report.skipped ? skipped + 1 : 0;
    if (done.report.skipped && !done.overflowed) log_warning(message("step ", step, " skipped: loss ", done.loss, ", gradient norm ", done.report.grad_norm));
    if (!after(done)) break;
    if (done.report.reselected && done.report.active == 0) {
      log_warning(message("step ", step, ": no weight is still below the threshold; training ends here"));
      break;
    }
    if (skipped >= options_.max_skipped_steps) {
      throw NonFinite(message("training became non-finite: ", skipped, " steps in a row skipped, the last one ", step,
                              ". Fix: lower --lr, or use --precision fp32"));
    }
  }
  denoiser_.eval();
}

}  // namespace sara
