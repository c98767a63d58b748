// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/rms_norm.h"

#include <torch/types.h>

namespace sara {

RmsNorm::RmsNorm(int64_t channels, double eps, const torch::TensorOptions& options) : eps_(eps) {
  weight = register_parameter("weight", torch::empty({channels}, options));
}

torch::Tensor RmsNorm::forward(const torch::Tensor& x) const {
  const auto wide = x.to(torch::kFloat32);
  const auto scaled = wide * at::rsqrt(wide.square().mean(-1, /*keepdim=*/true) + eps_);
  return scaled.to(weight.scalar_type()) * weight;
}

}  // namespace sara
