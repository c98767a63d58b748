// SPDX-License-Identifier: Apache-2.0
#include "sara/samplers/noise_schedule.h"

#include "tests/parity/probe/probe.h"

// config: the JSON of scheduler_config.json. tensors: latents, noise, timesteps.
SARA_PROBE(noise_schedule) {
  const sara::NoiseSchedule schedule(sara::SchedulerConfig::from_json(in.config));
  const auto &latents = in.tensors.at("latents"), &noise = in.tensors.at("noise"), &timesteps = in.tensors.at("timesteps");
  out["alphas_cumprod"] = schedule.alphas_cumprod();
  out["noisy"] = schedule.add_noise(latents, noise, timesteps);
  out["velocity"] = schedule.velocity(latents, noise, timesteps);
  out["target"] = schedule.target(latents, noise, timesteps).clone();
}
