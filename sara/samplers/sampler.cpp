// SPDX-License-Identifier: Apache-2.0
#include "sara/samplers/sampler.h"

#include <torch/types.h>

#include "sara/base/error.h"

namespace sara {

void Sampler::check_step(const torch::Tensor& model_output, size_t i, const torch::Tensor& sample) const {
  if (i >= timesteps_.size())
    throw InvalidArgument(message("no sampling step ", i, " (expected below ", timesteps_.size(), "). Fix: call set_timesteps first"));
  if (model_output.sizes() != sample.sizes())
    throw InvalidArgument(message("model output has another shape than the sample (expected ", sample.sizes(), ", got ", model_output.sizes(), ")"));
}

torch::Tensor noise_like(const torch::Tensor& like, const std::optional<at::Generator>& generator) {
  const auto device = generator ? generator->device() : like.device();
  const auto options = torch::TensorOptions().dtype(like.scalar_type()).device(device);
  return torch::randn(like.sizes(), generator, options).to(like.device());
}

void refuse_unsupported(const SchedulerConfig& config) {
  const std::pair<const char*, bool> settings[] = {{"thresholding", config.thresholding},
                                                   {"use_exponential_sigmas", config.use_exponential_sigmas},
                                                   {"use_beta_sigmas", config.use_beta_sigmas},
                                                   {"use_lu_lambdas", config.use_lu_lambdas},
                                                   {"use_flow_sigmas", config.use_flow_sigmas}};
  for (const auto& [name, on] : settings)
    if (on) throw InvalidArgument(message("scheduler_config.json sets ", name, ", which sara does not have. Fix: set it to false"));
  if (config.timestep_type != "discrete")
    throw InvalidArgument(
        message("scheduler_config.json sets timestep_type ", config.timestep_type, ", which sara does not have (expected discrete)"));
}

}  // namespace sara
