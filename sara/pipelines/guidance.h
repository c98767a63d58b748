// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "sara/models/denoiser.h"
#include "sara/models/text_encoders.h"

namespace sara {

// Classifier-free guidance: the denoiser answers once without and once with the prompt, and the difference is amplified:
//   prediction = without + guidance (with - without)
// guidance 1 is the conditional model alone; above 1 the prompt weighs more.
torch::Tensor guided(const torch::Tensor& without, const torch::Tensor& with, double guidance);

// The denoiser's guided answer for latents [B, C, h, w] fp32 at one timestep. with_prompt and without_prompt are of B
// prompts; both halves run as one batch of 2B. At guidance <= 1 (without_prompt.text undefined) the conditional half alone
// runs. time_ids [1, 6] for denoisers that take them. Computed in the denoiser's dtype, returned as fp32.
torch::Tensor guided_prediction(const Denoiser& denoiser, const torch::Tensor& latents, double timestep,
                                const TextConditions& with_prompt, const TextConditions& without_prompt, double guidance,
                                const torch::Tensor& time_ids = {});

}  // namespace sara
