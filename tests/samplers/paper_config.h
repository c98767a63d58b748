// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sara/samplers/scheduler_config.h"

namespace sara {

// alphas_cumprod = 0.64, 0.36: the square roots are 0.8, 0.6 and of the rest 0.6, 0.8.
inline SchedulerConfig paper_config(const std::string& prediction = "epsilon") {
  SchedulerConfig config;
  config.num_train_timesteps = 2;
  config.trained_betas = {0.36, 0.4375};
  config.clip_sample = false;
  config.timestep_spacing = "leading";
  config.prediction_type = prediction;
  return config;
}

}  // namespace sara
