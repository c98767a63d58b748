// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/linear.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>

namespace sara {

struct SinusoidOptions {
  int64_t channels = 320;
  bool flip_sin_to_cos = true;  // cosines in the first half
  double freq_shift = 0;        // subtracted from the number of frequencies in the exponent
};

// Sinusoids of a timestep, always in fp32: with h = channels / 2 and w_i = 10000^(-i / (h - freq_shift)),
// [sin(t w_0) ... sin(t w_{h-1}), cos(t w_0) ...], halves swapped by flip_sin_to_cos, one zero appended when channels
// is odd. timesteps [B], integer or floating -> [B, channels] fp32.
torch::Tensor sinusoids(const torch::Tensor& timesteps, const SinusoidOptions& options);

// linear_2(silu(linear_1(x))): [B, in] -> [B, out].
class TimestepEmbedding : public torch::nn::Module {
 public:
  TimestepEmbedding(int64_t in, int64_t out, const torch::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x) const;

 private:
  std::shared_ptr<Linear> linear_1_, linear_2_;
};

}  // namespace sara
