// SPDX-License-Identifier: Apache-2.0
#include "sara/pipelines/guidance.h"

#include <torch/types.h>

namespace sara {

torch::Tensor guided(const torch::Tensor& without, const torch::Tensor& with, double guidance) {
  return without + guidance * (with - without);
}

torch::Tensor guided_prediction(const Denoiser& denoiser, const torch::Tensor& latents, double timestep,
                                const TextConditions& with_prompt, const TextConditions& without_prompt, double guidance,
                                const torch::Tensor& time_ids) {
  const bool both = without_prompt.text.defined();
  const auto text = both ? torch::cat({without_prompt.text, with_prompt.text}) : with_prompt.text;
  const auto sample = (both ? torch::cat({latents, latents}) : latents).to(text.scalar_type());
  const auto times = torch::full({sample.size(0)}, timestep, torch::dtype(torch::kFloat32).device(sample.device()));
  AddedConditions added;
  if (with_prompt.pooled.defined())
    added.pooled_text = both ? torch::cat({without_prompt.pooled, with_prompt.pooled}) : with_prompt.pooled;
  if (time_ids.defined()) added.time_ids = time_ids.expand({sample.size(0), -1});
  const auto prediction = denoiser.forward(sample, times, text, added).to(torch::kFloat32);
  if (!both) return prediction;
  const auto halves = prediction.chunk(2);
  return guided(halves[0], halves[1], guidance);
}

}  // namespace sara
