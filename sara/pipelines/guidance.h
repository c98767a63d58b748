// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "sara/models/unet.h"

namespace sara {

// Classifier-free guidance: the denoiser answers once without and once with the prompt, and the difference is amplified:
//   prediction = without + guidance (with - without)
// guidance 1 is the conditional model alone; above 1 the prompt weighs more.
torch::Tensor guided(const torch::Tensor& without, const torch::Tensor& with, double guidance);

// The denoiser's guided answer for latents [B, C, h, w] fp32 at one timestep. with_prompt and without_prompt are
// [B, T, D]; both halves run as one batch of 2B. At guidance <= 1 (without_prompt undefined) the conditional half alone runs.
// Computed in the denoiser's dtype, returned as fp32.
torch::Tensor guided_prediction(const UNet2DConditionModel& unet, const torch::Tensor& latents, double timestep,
                                const torch::Tensor& with_prompt, const torch::Tensor& without_prompt, double guidance);

}  // namespace sara
