// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/conv.h"

#include "sara/ops/map_layout.h"
#include "sara/ops/norm_conv2d.h"

#include <torch/types.h>

namespace sara {

Conv2d::Conv2d(const Shape& shape, const torch::TensorOptions& options)
    : geometry_{shape.kernel, shape.stride, shape.padding} {
  weight = register_parameter("weight", torch::empty({shape.out, shape.in, shape.kernel, shape.kernel}, options));
  bias = register_parameter("bias", torch::empty({shape.out}, options));
}

torch::Tensor Conv2d::forward(const torch::Tensor& x) const {
  return conv2d(x, weight, bias, geometry_);
}

void lay_out_for_device_(const torch::nn::Module& model) {
  for (const auto& module : model.modules(/*include_self=*/false))
    if (const auto* convolution = dynamic_cast<const Conv2d*>(module.get())) convolution->weight.set_data(for_device(convolution->weight.detach()));
}

}  // namespace sara
