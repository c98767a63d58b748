// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/nn/module.h>
#include <torch/types.h>

namespace sara {

// y = x Wᵀ + b. Parameters: weight [out, in], bias [out] when `has_bias`.
// x is [..., in], y is [..., out]. The memory of the parameters is not initialised.
class Linear : public torch::nn::Module {
 public:
  Linear(int64_t in, int64_t out, bool has_bias, const torch::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x) const;

  torch::Tensor weight, bias;
};

}  // namespace sara
