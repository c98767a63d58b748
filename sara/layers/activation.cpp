// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/activation.h"

#include "sara/base/error.h"

#include <torch/types.h>

namespace sara {

torch::Tensor activate(const torch::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::gelu: return at::gelu(x);
    case Activation::quick_gelu: return x * at::sigmoid(1.702 * x);
    case Activation::gelu_tanh: return at::gelu(x, "tanh");
  }
  SARA_CHECK(false, "an activation outside its enumeration");
}

}  // namespace sara
