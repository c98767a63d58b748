// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/types.h>

namespace sara {

enum class Activation {
  gelu,        // x Φ(x), exact erf
  quick_gelu,  // x · sigmoid(1.702 x)
  gelu_tanh,   // x Φ(x) by the tanh formula
};

torch::Tensor activate(const torch::Tensor& x, Activation activation);

}  // namespace sara
