// SPDX-License-Identifier: Apache-2.0
#include "sara/samplers/spacing.h"

#include <algorithm>
#include <cmath>

#include "sara/base/error.h"

namespace sara {

std::vector<double> leading_timesteps(int64_t total, int64_t steps, int64_t offset) {
  std::vector<double> timesteps(steps);
  for (int64_t i = 0; i < steps; ++i) timesteps[steps - 1 - i] = double(i * (total / steps) + offset);
  return timesteps;
}

std::vector<double> linspace_timesteps(int64_t total, int64_t steps) {
  std::vector<double> timesteps(steps, 0.0);
  if (steps == 1) return timesteps;
  const double stride = double(total - 1) / double(steps - 1);
  for (int64_t i = 1; i < steps; ++i) timesteps[steps - 1 - i] = double(i) * stride;
  timesteps.front() = double(total - 1);
  return timesteps;
}

std::vector<double> trailing_timesteps(int64_t total, int64_t steps, double stride) {
  // The rounding of halves hangs on the last bit: the stride is the difference of the first two places, as in an arange.
  const double delta = (double(total) - stride) - double(total);
  std::vector<double> timesteps;
  for (int64_t i = 0; i<steps&& double(total) + double(i) * delta> 0; ++i) timesteps.push_back(std::nearbyint(double(total) + double(i) * delta) - 1);
  return timesteps;
}

std::vector<double> rounded(std::vector<double> timesteps) {
  for (double& t : timesteps) t = std::nearbyint(t);
  return timesteps;
}

void check_steps(int64_t steps, int64_t total) {
  if (steps < 1 || steps > total)
    throw InvalidArgument(message("wrong number of sampling steps (expected 1 to ", total, ", got ", steps, "). Fix: pass another --steps"));
}

void check_timesteps(const std::vector<double>& timesteps, int64_t total) {
  for (const double t : timesteps)
    if (t < 0 || t > double(total - 1))
      throw InvalidArgument(message(timesteps.size(), " sampling steps reach timestep ", t, " (expected 0 to ", total - 1,
                                    "). Fix: use fewer steps, or a smaller steps_offset in scheduler_config.json"));
}

}  // namespace sara
