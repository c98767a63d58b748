// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/linear.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>

namespace sara {

// net.2(gelu(net.0.proj(x))), gelu by its tanh formula. The inner width is 4 × channels. x is [B, T, channels].
class GeluFeedForward : public torch::nn::Module {
 public:
  GeluFeedForward(int64_t channels, const torch::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x) const;

 private:
  std::shared_ptr<Linear> in_, out_;
};

}  // namespace sara
