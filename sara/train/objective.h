// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "sara/samplers/flow_schedule.h"
#include "sara/samplers/noise_schedule.h"
#include "sara/train/flow_options.h"
#include "sara/train/loss.h"
#include "sara/train/train_options.h"

namespace sara {

// A micro-batch with its noise, before the denoiser has seen it.
struct NoisyBatch {
  torch::Tensor timesteps;  // [B] int64, for the log
  torch::Tensor told;       // [B] what the denoiser is told of them
  torch::Tensor noisy;      // [B, C, h, w] fp32
  torch::Tensor latents, noise;
};

// What a denoiser's answer is compared with, fp32, on the CPU until to() takes it to the answer.
struct LossTerms {
  torch::Tensor target;                    // like the answer
  torch::Tensor weights = {};              // [B] of the pictures; undefined: 1 each
  torch::Tensor offset = {}, factor = {};  // compared is offset + factor · answer, offset like the answer and factor [B, 1, ...]; undefined: the answer itself

  LossTerms rows(int64_t first, int64_t count) const;
  LossTerms to(torch::Device device) const;
};

// Mean squared error, weighed by picture (loss.h). Scalar, fp32, on the answer's device, where the terms must lie.
torch::Tensor task_loss(const torch::Tensor& answer, const LossTerms& terms);

// What is asked of a denoiser: how noise enters the latents and how its answer is judged.
class Objective {
 public:
  virtual ~Objective() = default;
  virtual int64_t num_train_timesteps() const = 0;
  // latents [B, C, h, w] fp32 with the noise of `draws`; `key` is for draws of its own.
  virtual NoisyBatch noisy(const torch::Tensor& latents, const NoiseDraws& draws, uint64_t key) const = 0;
  virtual LossTerms terms(const NoisyBatch& batch) const = 0;
  torch::Tensor loss(const torch::Tensor& answer, const NoisyBatch& batch) const { return task_loss(answer, terms(batch).to(answer.device())); }
};

// Denoising diffusion: the schedule's target (noise, velocity or sample), weighed by SNR when a gamma is given.
class DiffusionObjective : public Objective {
 public:
  explicit DiffusionObjective(NoiseSchedule schedule, std::optional<double> snr_gamma = std::nullopt);
  int64_t num_train_timesteps() const override { return schedule_.num_train_timesteps(); }
  NoisyBatch noisy(const torch::Tensor& latents, const NoiseDraws& draws, uint64_t key) const override;
  LossTerms terms(const NoisyBatch& batch) const override;

 private:
  NoiseSchedule schedule_;
  std::optional<double> snr_gamma_;
};

// Flow matching (Esser et al. 2024, section 3.1). The share u in [0, 1) of the trained timesteps, counted from the
// noisiest, is drawn as the weighting scheme says:
//   logit_normal  sigmoid(mean + std · n), n normal     mode  1 - r - s (cos^2(π r / 2) - 1 + r), r uniform     else uniform
// and the loss of a picture is weighed by 1, by sigma^-2 (sigma_sqrt) or by 2 / (π (1 - 2 sigma + 2 sigma^2)) (cosmap).
// The answer is compared with noise - x, or with precondition_outputs noisy - sigma · answer with x.
class FlowObjective : public Objective {
 public:
  // Draws timesteps in [first, end).
  FlowObjective(const SchedulerConfig& config, const FlowOptions& options, std::pair<int64_t, int64_t> range);
  int64_t num_train_timesteps() const override { return schedule_.num_train_timesteps(); }
  NoisyBatch noisy(const torch::Tensor& latents, const NoiseDraws& draws, uint64_t key) const override;
  LossTerms terms(const NoisyBatch& batch) const override;

 private:
  torch::Tensor drawn_shares(int64_t count, uint64_t key) const;

  FlowSchedule schedule_;
  std::string scheme_;
  double logit_mean_, logit_std_, mode_scale_;
  bool precondition_outputs_;
  std::pair<int64_t, int64_t> range_;
};

// The one for the model's scheduler. Throws InvalidArgument for options that belong to the other kind of model, for
// logit_* and mode_scale with another scheme, and for a range of timesteps the schedule does not hold.
std::unique_ptr<Objective> make_objective(const SchedulerConfig& config, const TrainOptions& options, const FlowOptions& flow);

// The timesteps that are trained, [first, end). Throws InvalidArgument for a range the schedule does not hold.
std::pair<int64_t, int64_t> trained_timesteps(const TrainOptions& options, int64_t num_train_timesteps);

}  // namespace sara
