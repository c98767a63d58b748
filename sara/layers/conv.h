// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/nn/module.h>
#include <torch/types.h>

#include "sara/ops/convolution.h"

namespace sara {

// Two-dimensional cross-correlation with zero padding. Parameters: weight [out, in, kernel, kernel], bias [out].
// x is [B, in, H, W]. The memory of the parameters is not initialised.
class Conv2d : public torch::nn::Module {
 public:
  struct Shape {
    int64_t in = 0, out = 0, kernel = 3, stride = 1, padding = 1;
  };
  Conv2d(const Shape& shape, const torch::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x) const;

  ConvolutionShape geometry() const { return geometry_; }

  torch::Tensor weight, bias;

 private:
  ConvolutionShape geometry_;
};

// Has the kernels of all convolutions in a model lie as its device wants them (ops/map_layout.h); called after to(device). Their numbers stay.
void lay_out_for_device_(const torch::nn::Module& model);

}  // namespace sara
