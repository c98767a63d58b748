// SPDX-License-Identifier: Apache-2.0
#include "sara/samplers/flow_schedule.h"

#include <torch/types.h>

#include "sara/samplers/flow_match.h"

namespace sara {

FlowSchedule::FlowSchedule(const SchedulerConfig& config) : sigmas_(torch::tensor(flow_sigmas(config)).flip({0})) {}

torch::Tensor FlowSchedule::sigmas(const torch::Tensor& timesteps) const { return sigmas_.index_select(0, timesteps); }

torch::Tensor FlowSchedule::add_noise(const torch::Tensor& latents, const torch::Tensor& noise, const torch::Tensor& timesteps) const {
  std::vector<int64_t> shape(latents.dim(), 1);
  shape[0] = latents.size(0);
  const auto sigma = sigmas(timesteps).view(shape);
  return (1 - sigma) * latents + sigma * noise;
}

}  // namespace sara
