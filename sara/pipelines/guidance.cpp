// SPDX-License-Identifier: Apache-2.0
#include "sara/pipelines/guidance.h"

#include <torch/types.h>

namespace sara {

torch::Tensor guided(const torch::Tensor& without, const torch::Tensor& with, double guidance) {
  return without + guidance * (with - without);
}

torch::Tensor guided_prediction(const UNet2DConditionModel& unet, const torch::Tensor& latents, double timestep,
                                const torch::Tensor& with_prompt, const torch::Tensor& without_prompt, double guidance) {
  const bool both = without_prompt.defined();
  const auto text = both ? torch::cat({without_prompt, with_prompt}) : with_prompt;
  const auto sample = (both ? torch::cat({latents, latents}) : latents).to(text.scalar_type());
  const auto times = torch::full({sample.size(0)}, timestep, torch::dtype(torch::kFloat32).device(sample.device()));
  const auto prediction = unet.forward(sample, times, text).to(torch::kFloat32);
  if (!both) return prediction;
  const auto halves = prediction.chunk(2);
  return guided(halves[0], halves[1], guidance);
}

}  // namespace sara
