// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/conv.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>

namespace sara {

// Halves a feature map by a 3x3 convolution of stride 2, parameter path `conv`. With padding 0 one row of zeros is
// added below and one column on the right, so that H -> floor(H / 2); with padding 1, H -> ceil(H / 2).
class Downsample : public torch::nn::Module {
 public:
  Downsample(int64_t channels, int64_t padding, const torch::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x) const;

 private:
  int64_t padding_;
  std::shared_ptr<Conv2d> conv_;
};

// Enlarges a feature map to height x width by nearest neighbour, then a 3x3 convolution, parameter path `conv`.
class Upsample : public torch::nn::Module {
 public:
  Upsample(int64_t channels, const torch::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x, int64_t height, int64_t width) const;

 private:
  std::shared_ptr<Conv2d> conv_;
};

}  // namespace sara
