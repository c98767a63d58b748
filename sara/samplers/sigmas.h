// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include <torch/types.h>

#include "sara/samplers/noise_schedule.h"

namespace sara {

// The timesteps of Euler's samplers by timestep_spacing, fp32 values, checked.
std::vector<double> sigma_timesteps(const SchedulerConfig& config, int64_t steps);

// Noise levels in the scale of Karras et al. 2022: sigma_t = sqrt((1 - alphas_cumprod_t) / alphas_cumprod_t), fp32, one per
// training timestep, rising. A last alphas_cumprod of 0 (zero SNR) counts as 2^-24, so that the first sigma is finite.
std::vector<float> training_sigmas(const NoiseSchedule& schedule);

// sigma at fractional timesteps: linear between neighbours, constant outside.
std::vector<double> sigmas_at(const std::vector<double>& timesteps, const std::vector<float>& training);

// The timestep whose sigma is `sigma`: linear in log sigma between neighbours, clamped to 0..T-1.
double timestep_at(double sigma, const std::vector<float>& training);

// n levels from high to low, evenly spaced in sigma^(1/7) (Karras et al. 2022, equation 5).
std::vector<double> karras_sigmas(double low, double high, int64_t n);

// The picture that a model output implies for a sample x + sigma noise; sigma is 0-dim fp32, the others fp32.
torch::Tensor picture_at(const SchedulerConfig& config, const torch::Tensor& output, const torch::Tensor& sample, const torch::Tensor& sigma);

// Standard deviation of the first sample: the highest sigma; with the picture's own variance for leading spacing.
double first_noise(const torch::Tensor& sigmas, const SchedulerConfig& config);

// `sigmas` in fp32 with the level after the last step behind them: 0, or the smallest training sigma (final_sigmas_type).
std::vector<float> with_final_sigma(const std::vector<double>& sigmas, const SchedulerConfig& config, const std::vector<float>& training);

}  // namespace sara
