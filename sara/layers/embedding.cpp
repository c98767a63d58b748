// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/embedding.h"

#include <torch/types.h>

namespace sara {

Embedding::Embedding(int64_t entries, int64_t channels, const torch::TensorOptions& options) {
  weight = register_parameter("weight", torch::empty({entries, channels}, options));
}

torch::Tensor Embedding::forward(const torch::Tensor& ids) const { return at::embedding(weight, ids); }

}  // namespace sara
