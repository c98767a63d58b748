// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/samplers/sampler.h"

namespace sara {

// Pseudo numerical methods for diffusion (Liu et al. 2022, equations 9, 12, 13 and algorithm 2). A transfer takes a sample
// from alphas_cumprod a to p along noise e:
//   x' = sqrt(p / a) x - (p - a) e / (a sqrt(1 - p) + sqrt(a (1 - a) p))
// Linear multistep: e is the Adams-Bashforth mean of the last four answers. How the first answers are had:
//   skip_prk_steps   as Stable Diffusion ships it: one step with its own answer, taken again with the mean of both ends'
//                    answers (one call more than steps), then means of two and three
//   otherwise        three Runge-Kutta steps of four calls each, so at least 4 steps and 9 calls more than steps
// Steps must be taken in order: InvalidArgument otherwise. After the last step p is alphas_cumprod_0, or 1 with set_alpha_to_one.
class PndmSampler : public Sampler {
 public:
  // Throws InvalidArgument for prediction_type sample and for zero terminal SNR, where a is 0.
  explicit PndmSampler(const SchedulerConfig& config);
  void set_timesteps(int64_t steps) override;
  torch::Tensor step(const torch::Tensor& model_output, size_t i, const torch::Tensor& sample,
                     std::optional<at::Generator> generator = std::nullopt) override;

 private:
  torch::Tensor runge_kutta_step(const torch::Tensor& output, size_t i, const torch::Tensor& sample);
  torch::Tensor multistep(const torch::Tensor& output, size_t i, const torch::Tensor& sample);
  torch::Tensor transfer(const torch::Tensor& sample, int64_t from, int64_t to, const torch::Tensor& output) const;

  NoiseSchedule schedule_;
  size_t next_ = 0;         // the step to be taken now
  int64_t stride_ = 0;      // timesteps between two steps
  size_t runge_kutta_ = 0;  // calls of the Runge-Kutta steps, before the multistep ones
  std::vector<torch::Tensor> answers_;  // the last four, newest last
  torch::Tensor start_, sum_;           // of the step that takes several calls: its sample, its weighted answers so far
};

}  // namespace sara
