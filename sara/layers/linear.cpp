// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/linear.h"

#include "sara/ops/linear.h"

#include <torch/types.h>

namespace sara {

Linear::Linear(int64_t in, int64_t out, bool has_bias, const torch::TensorOptions& options) {
  weight = register_parameter("weight", torch::empty({out, in}, options));
  if (has_bias) bias = register_parameter("bias", torch::empty({out}, options));
}

torch::Tensor Linear::forward(const torch::Tensor& x) const { return sara::linear(x, weight, bias); }

}  // namespace sara
