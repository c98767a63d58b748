// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/norm.h"

#include "sara/base/error.h"
#include "sara/base/message.h"

#include <torch/types.h>

namespace sara {

GroupNorm::GroupNorm(int64_t groups, int64_t channels, double eps, const torch::TensorOptions& options)
    : groups_(groups), eps_(eps) {
  if (groups < 1 || channels % groups != 0)
    throw InvalidArgument(
        message("norm_num_groups ", groups, " does not divide ", channels,
                " channels. Fix: choose norm_num_groups so that it divides every block_out_channels"));
  weight = register_parameter("weight", torch::empty({channels}, options));
  bias = register_parameter("bias", torch::empty({channels}, options));
}

torch::Tensor GroupNorm::forward(const torch::Tensor& x) const {
  return at::group_norm(x, groups_, weight, bias, eps_);
}

LayerNorm::LayerNorm(int64_t channels, double eps, const torch::TensorOptions& options) : eps_(eps) {
  weight = register_parameter("weight", torch::empty({channels}, options));
  bias = register_parameter("bias", torch::empty({channels}, options));
}

torch::Tensor LayerNorm::forward(const torch::Tensor& x) const {
  return at::layer_norm(x, {weight.size(0)}, weight, bias, eps_);
}

}  // namespace sara
