// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/samplers/sampler.h"

namespace sara {

// DPM-Solver++ multistep of order 1 or 2 (Lu et al. 2022, "DPM-Solver++", algorithm 2: "2M"). With alpha = 1 / sqrt(sigma^2 + 1),
// s = sigma alpha, lambda = log(alpha / s), h = lambda' - lambda, primes after the step, x0 the implied picture:
//   order 1   x' = s'/s x - alpha' (e^-h - 1) x0
//   order 2   x' = s'/s x - alpha' (e^-h - 1) (x0 + D/2)          midpoint
//             x' = s'/s x - alpha' (e^-h - 1) x0 + alpha' ((e^-h - 1) / h + 1) D   heun
//             D = (x0 - x0 of the step before) h / (lambda - lambda before)
// Order 1 is used in the first step and, as the config says (lower_order_final below 15 steps, euler_at_final, or a final
// sigma of 0), in the last. No noise is added.
class DpmSolverSampler : public Sampler {
 public:
  explicit DpmSolverSampler(const SchedulerConfig& config);
  void set_timesteps(int64_t steps) override;
  torch::Tensor step(const torch::Tensor& model_output, size_t i, const torch::Tensor& sample,
                     std::optional<at::Generator> generator = std::nullopt) override;

 private:
  struct Level {
    torch::Tensor alpha, sigma, lambda;  // 0-dim fp32
  };
  Level level(size_t i) const;
  bool first_order(size_t i) const;

  NoiseSchedule schedule_;
  torch::Tensor sigmas_;          // fp32 on the CPU, one more than timesteps
  torch::Tensor picture_before_;  // the picture implied at the step before
  size_t next_ = 0;               // the only step that may come now
};

}  // namespace sara
