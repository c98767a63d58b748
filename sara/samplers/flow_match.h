// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/samplers/sampler.h"

namespace sara {

// The noise levels a flow-matching model is trained on, noisiest first, fp32: with s = shift and u = 1, ... 1/T,
//   sigma = s u / (1 + (s - 1) u)
// (Esser et al. 2024, section 5.3.2: a larger picture needs more noise). The model is told num_train_timesteps · sigma.
std::vector<float> flow_sigmas(const SchedulerConfig& config);

// Euler's method for rectified flow (Liu et al. 2023; Esser et al. 2024): samples are (1 - sigma) x + sigma noise and the
// model gives the velocity v = noise - x:  x' = x + (sigma' - sigma) v.  The levels visited are evenly spaced between the
// ends of flow_sigmas, then shifted once more as the published scheduler does; the last step ends at 0.
class FlowMatchSampler : public Sampler {
 public:
  // Throws InvalidArgument for settings it does not have: dynamic shifting, Karras and other sigmas, inverted sigmas, a
  // terminal shift, stochastic sampling.
  explicit FlowMatchSampler(const SchedulerConfig& config);
  void set_timesteps(int64_t steps) override;
  torch::Tensor step(const torch::Tensor& model_output, size_t i, const torch::Tensor& sample,
                     std::optional<at::Generator> generator = std::nullopt) override;

 private:
  SchedulerConfig config_;
  std::vector<float> sigmas_;  // one more than timesteps
};

}  // namespace sara
