// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sara {

// The timesteps that `steps` steps visit out of 0..total-1, noisiest first (Lin et al. 2023, table 2).
//   leading   i (total div steps) + offset        never starts at the noisiest timestep
//   linspace  i (total - 1) / (steps - 1)         both ends; not rounded
//   trailing  round(total - i total / steps) - 1  starts at the noisiest timestep
std::vector<double> leading_timesteps(int64_t total, int64_t steps, int64_t offset);
std::vector<double> linspace_timesteps(int64_t total, int64_t steps);
std::vector<double> trailing_timesteps(int64_t total, int64_t steps, double stride);

// The nearest integers, halves to even.
std::vector<double> rounded(std::vector<double> timesteps);

// Throws InvalidArgument unless 1 <= steps <= total.
void check_steps(int64_t steps, int64_t total);

// Throws InvalidArgument when a timestep lies outside 0..total-1 (leading spacing with an offset too large for the steps).
void check_timesteps(const std::vector<double>& timesteps, int64_t total);

}  // namespace sara
