// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/timestep.h"

#include "sara/layers/register_path.h"

#include <torch/types.h>

#include <cmath>

namespace sara {

torch::Tensor sinusoids(const torch::Tensor& timesteps, const SinusoidOptions& options) {
  const int64_t half = options.channels / 2;
  // fp32 throughout: in double the last digits of t·ω would differ from what the published models were trained with.
  const auto fp32 = torch::TensorOptions().dtype(torch::kFloat32).device(timesteps.device());
  const auto exponent =
      torch::arange(half, fp32) * -std::log(10000.0) / (static_cast<double>(half) - options.freq_shift);
  const auto angle = timesteps.to(torch::kFloat32).unsqueeze(1) * exponent.exp().unsqueeze(0);
  auto result =
      options.flip_sin_to_cos ? at::cat({angle.cos(), angle.sin()}, 1) : at::cat({angle.sin(), angle.cos()}, 1);
  return options.channels % 2 ? at::constant_pad_nd(result, {0, 1}) : result;
}

TimestepEmbedding::TimestepEmbedding(int64_t in, int64_t out, const torch::TensorOptions& options) {
  linear_1_ = make_at<Linear>(*this, "linear_1", in, out, true, options);
  linear_2_ = make_at<Linear>(*this, "linear_2", out, out, true, options);
}

torch::Tensor TimestepEmbedding::forward(const torch::Tensor& x) const {
  return linear_2_->forward(at::silu(linear_1_->forward(x)));
}

}  // namespace sara
