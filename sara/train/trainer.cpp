// SPDX-License-Identifier: Apache-2.0
#include "sara/train/trainer.h"

#include <torch/types.h>

#include <chrono>
#include <cmath>

#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/base/random.h"
#include "sara/distributed/compact_all_reduce.h"
#include "sara/optim/lr_curve.h"
#include "sara/train/dreambooth.h"

namespace sara {

Trainer::Trainer(Denoiser& denoiser, Method& method, const Objective& objective, const TrainingData& data, const TrainOptions& options,
                 uint64_t seed, double lr, ProcessGroup* processes)
    : denoiser_(denoiser), method_(method), objective_(objective), data_(data), options_(options), seed_(seed), lr_(lr),
      timesteps_(trained_timesteps(options, objective.num_train_timesteps())),
      processes_(processes),
      order_(data.samples(), options.batch_size * (processes ? processes->size() : 1), seed) {
  if (options.precision == "fp16") state_.loss_scale.emplace();
  if (options.cuda_graph && !method.has_gradient_in_place())
    throw InvalidArgument(message("cuda_graph: not with method ", method.name(), ", whose gradient does not stay where it is. Fix: leave it out"));
  if (options.cuda_graph) graph_.emplace(denoiser.parameters().front().device(), [this](const auto& inputs) { return recorded_passes(inputs); });
  if (data.classes) class_order_.emplace(data.classes->count, options.batch_size, stream_key(seed, "class"));
}

Trainer::MicroBatch Trainer::micro_batch(TrainingStep& step, int64_t part) const {
  const int64_t batch = (step.step - 1) * options_.gradient_accumulation_steps + part;
  const int64_t count = options_.batch_size, first = processes_ ? processes_->rank() * count : 0;  // this process's rows of it
  const auto whole = order_.draws(batch);
  std::vector<int64_t> latent_rows, text_rows;
  std::vector<BatchOrder::Draw> drawn(whole.begin() + first, whole.begin() + first + count);
  if (class_order_) {
    for (auto draw : class_order_->draws(batch)) drawn.push_back({draw.epoch, data_.samples() + draw.sample});
  }
  for (const auto& draw : drawn) {
    const bool flipped = is_flipped(data_.transforms, seed_, draw.epoch, draw.sample);
    for (const int64_t picture : data_.clips ? data_.clips->drawn(draw.sample, seed_, draw.epoch) : std::vector<int64_t>{draw.sample})
      latent_rows.push_back(data_.latents.row(picture, flipped));
    text_rows.push_back(data_.text.row(draw.sample, seed_, draw.epoch));
    step.samples.push_back(draw.sample);
  }
  const auto rows = torch::tensor(latent_rows, torch::kLong);
  const auto taken = [&](const torch::Tensor& all) {  // [B, C, h, w], or of clips [B, C, frames, h, w]
    const auto pictures = all.index_select(0, rows).to(torch::kFloat);
    return data_.clips ? pictures.unflatten(0, {-1, data_.clips->frames()}).transpose(1, 2).contiguous() : pictures;
  };
  const auto mean = taken(data_.latents.mean), std = taken(data_.latents.std);
  auto shape = mean.sizes().vec();
  shape[0] = static_cast<int64_t>(whole.size() + drawn.size()) - count;
  const auto draws = draw_noise(shape, timesteps_.first, timesteps_.second, options_.noise_offset, options_.caption_dropout,
                                stream_key(seed_, "noise", step.step, part))
                         .rows(first, static_cast<int64_t>(drawn.size()));
  for (size_t i = 0; i < text_rows.size(); ++i) {
    if (draws.dropped[i].item<bool>()) text_rows[i] = TextCache::kEmpty;
  }
  const auto latents = (mean + std * draws.posterior_noise - data_.shift_factor) * data_.scaling_factor;
  const auto inputs = objective_.noisy(latents, draws, stream_key(seed_, "levels", step.step, part));
  for (int64_t i = 0; i < inputs.timesteps.numel(); ++i) step.timesteps.push_back(inputs.timesteps[i].item<int64_t>());
  const auto texts = torch::tensor(text_rows, torch::kLong);
  const auto context = data_.text.hidden.index_select(0, texts);

  const auto weight = denoiser_.parameters().front();
  const auto wanted = denoiser_.inputs();
  AddedConditions added;
  if (wanted.pooled_width > 0) added.pooled_text = data_.text.pooled.index_select(0, texts).to(weight.options());
  if (wanted.time_ids) added.time_ids = data_.latents.time_ids.index_select(0, rows).to(weight.device());
  return {inputs.noisy.to(weight.options()), inputs.told.to(weight.device()), context.to(weight.options()), added, objective_.terms(inputs).to(weight.device())};
}

Trainer::Losses Trainer::forward(const MicroBatch& batch) const {
  const auto parts = double(options_.gradient_accumulation_steps);
  const auto answer = denoiser_.forward(batch.noisy, batch.told, batch.context, batch.added);
  if (!data_.classes) return {task_loss(answer, batch.terms) / parts, {}};
  const auto loss = prior_preserving_loss(answer, batch.terms, data_.classes->weight);
  return {loss.total / parts, loss.class_part};
}

// -> the loss and its class part
std::pair<double, std::optional<double>> Trainer::take_passes(const MicroBatch& batch) {
  const double scale = state_.loss_scale ? state_.loss_scale->scale() : 1;
  const auto class_part = [](const torch::Tensor& part) { return part.defined() ? std::optional(part.item<double>()) : std::nullopt; };
  if (graph_) {
    const auto losses = graph_->run({batch.noisy, batch.told, batch.context, batch.added.pooled_text, batch.added.time_ids, batch.terms.target, batch.terms.weights, batch.terms.offset,
                                     batch.terms.factor, torch::tensor(scale, torch::kFloat)});
    const auto value = losses[0].item<double>();
    if (!std::isfinite(value)) method_.scale_gradient_(std::nan(""));
    return {value, class_part(losses[1])};
  }
  auto [loss, part] = forward(batch);
  const auto value = loss.item<double>();
  if (!std::isfinite(value)) loss = loss * std::nan("");  // an infinite loss may have a finite gradient: spoil it, so that the step is skipped
  (state_.loss_scale ? loss * scale : loss).backward();
  return {value, class_part(part)};
}

// What take_passes does, of tensors on the device alone.
std::vector<torch::Tensor> Trainer::recorded_passes(const std::vector<torch::Tensor>& in) const {
  const Losses losses = forward({in[0], in[1], in[2], {in[3], in[4]}, {in[5], in[6], in[7], in[8]}});
  (losses.total * in[9]).backward();
  return {losses.total.detach(), losses.class_part};
}

// One exchange of what the log tells, in fp64 (samples and timesteps are exact), then that of the gradient.
void Trainer::average_over_processes(TrainingStep& step) {
  const int64_t size = processes_->size(), parts = options_.gradient_accumulation_steps, rows = options_.batch_size;
  torch::Tensor told = torch::zeros({2 * parts * size * rows + 1}, torch::kDouble);
  auto* numbers = told.mutable_data_ptr<double>();
  const auto place = [&](int64_t part, int64_t row) { return numbers + 2 * ((part * size + processes_->rank()) * rows + row); };
  for (int64_t part = 0; part < parts; ++part) {
    for (int64_t row = 0; row < rows; ++row) {
      const auto mine = static_cast<size_t>(part * rows + row);
      place(part, row)[0] = static_cast<double>(step.samples[mine]);
      place(part, row)[1] = static_cast<double>(step.timesteps[mine]);
    }
  }
  numbers[told.numel() - 1] = step.loss / static_cast<double>(size);
  processes_->sum_(told, "step");
  step.samples.clear();
  step.timesteps.clear();
  for (int64_t i = 0; i + 1 < told.numel(); i += 2) {
    step.samples.push_back(static_cast<int64_t>(numbers[i]));
    step.timesteps.push_back(static_cast<int64_t>(numbers[i + 1]));
  }
  step.loss = numbers[told.numel() - 1];
  compact_all_reduce_(*processes_, method_.gradients());
}

void Trainer::load_state(const TrainerState& state) {
  if (state.loss_scale.has_value() != state_.loss_scale.has_value())
    throw InvalidArgument(message("precision: the state is of a run ", state.loss_scale ? "in" : "without", " fp16. Fix: use the --precision of the run"));
  state_ = state;
}

TrainingStep Trainer::take_step() {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  auto& scale = state_.loss_scale;
  TrainingStep done;
  done.step = state_.step + 1;
  for (int64_t part = 0; part < options_.gradient_accumulation_steps; ++part) {
    const auto [loss, class_part] = take_passes(micro_batch(done, part));
    done.loss += loss;
    if (class_part) done.class_loss = done.class_loss.value_or(0) + *class_part / double(options_.gradient_accumulation_steps);
  }
  if (processes_ && processes_->size() > 1) average_over_processes(done);
  done.lr = lr_ * lr_curve(options_.lr_scheduler, done.step, options_.steps, options_.lr_warmup_steps);
  if (scale) {
    done.loss_scale = scale->scale();
    method_.scale_gradient_(1 / scale->scale());
  }
  done.report = method_.step(done.step, done.lr);
  if (scale) {
    done.overflowed = done.report.skipped && std::isfinite(done.loss) && scale->can_fall();
    scale->update(done.report.skipped);
  }
  state_.step = done.step;
  if (!done.overflowed) state_.skipped = done.report.skipped ? state_.skipped + 1 : 0;
  state_.exhausted |= done.report.reselected && done.report.active == 0;
  if (done.report.reselected && graph_) graph_->forget();  // the gradient has another buffer
  done.seconds = std::chrono::duration<double>(Clock::now() - start).count();
  return done;
}

void Trainer::run(const std::function<bool(const TrainingStep&)>& after) {
  denoiser_.train();
  for (;;) {
    if (state_.exhausted) {
      log_warning(message("step ", state_.step, ": no weight is still below the threshold; training ends here"));
      break;
    }
    if (state_.skipped >= options_.max_skipped_steps) {
      throw NonFinite(message("training became non-finite: ", state_.skipped, " steps in a row skipped, the last one ", state_.step,
                              ". Fix: lower --lr, or use --precision fp32"));
    }
    if (state_.step >= options_.steps) break;
    const TrainingStep done = take_step();
    if (done.report.skipped && !done.overflowed)
      log_warning(message("step ", done.step, " skipped: loss ", done.loss, ", gradient norm ", done.report.grad_norm));
    if (!after(done)) break;
  }
  denoiser_.eval();
}

}  // namespace sara
