// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <optional>

#include "sara/samplers/noise_schedule.h"

namespace sara {

// The random part of one micro-batch: everything comes from one CPU generator keyed by (seed, step, micro-batch), so that
// nothing else that is drawn shifts it.
struct NoiseDraws {
  torch::Tensor timesteps;        // [B] int64, uniform over [first, end)
  torch::Tensor noise;            // [B, C, h, w] fp32
  torch::Tensor posterior_noise;  // [B, C, h, w] fp32
  torch::Tensor dropped;          // [B] bool: train this one on the empty caption
  int64_t rows_before = 0, rows_behind = 0;  // of the whole batch, where these are the rows of one process

  // The draws of rows first .. first + count - 1 of the batch.
  NoiseDraws rows(int64_t first, int64_t count) const;
};
NoiseDraws draw_noise(at::IntArrayRef shape, int64_t first_timestep, int64_t end_timestep, double noise_offset, double caption_dropout, uint64_t key);

// min(SNR, gamma) / SNR for epsilon, / (SNR + 1) for v-prediction: keeps nearly clean timesteps from ruling the loss
// (Hang et al. 2023). [B] fp32. `sample` prediction takes min(SNR, gamma).
torch::Tensor snr_weights(const NoiseSchedule& schedule, const torch::Tensor& timesteps, double gamma);

// Mean squared error in fp32 between the denoiser's answer and the target, [B, ...] -> scalar; weighted per image when
// weights [B] are given (Sec. 3, Eq. 1 of the paper: the task loss).
torch::Tensor denoising_loss(const torch::Tensor& predicted, const torch::Tensor& target, const std::optional<torch::Tensor>& weights);

}  // namespace sara
