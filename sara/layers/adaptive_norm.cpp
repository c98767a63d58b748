// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/adaptive_norm.h"

#include "sara/layers/register_path.h"

#include <torch/types.h>

namespace sara {

torch::Tensor plain_layer_norm(const torch::Tensor& x) { return at::layer_norm(x, {x.size(-1)}, {}, {}, 1e-6); }

torch::Tensor modulated(const torch::Tensor& x, const torch::Tensor& shift, const torch::Tensor& scale) {
  return x * (1 + scale.unsqueeze(1)) + shift.unsqueeze(1);
}

AdaptiveNorm::AdaptiveNorm(int64_t channels, int64_t count, const torch::TensorOptions& options) : count_(count) {
  linear_ = make_at<Linear>(*this, "linear", channels, count * channels, true, options);
}

std::vector<torch::Tensor> AdaptiveNorm::forward(const torch::Tensor& activated_condition) const {
  return linear_->forward(activated_condition).chunk(count_, 1);
}

}  // namespace sara
