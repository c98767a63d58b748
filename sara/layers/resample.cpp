// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/resample.h"

#include "sara/layers/register_path.h"
#include "sara/ops/upsample_conv2d.h"

#include <torch/types.h>

namespace sara {

Downsample::Downsample(int64_t channels, int64_t padding, const torch::TensorOptions& options) : padding_(padding) {
  const Conv2d::Shape shape{.in = channels, .out = channels, .kernel = 3, .stride = 2, .padding = padding};
  conv_ = make_at<Conv2d>(*this, "conv", shape, options);
}

torch::Tensor Downsample::forward(const torch::Tensor& x) const {
  return conv_->forward(padding_ == 0 ? at::constant_pad_nd(x, {0, 1, 0, 1}) : x);
}

Upsample::Upsample(int64_t channels, const torch::TensorOptions& options) {
  conv_ = make_at<Conv2d>(*this, "conv", Conv2d::Shape{.in = channels, .out = channels}, options);
}

torch::Tensor Upsample::forward(const torch::Tensor& x, int64_t height, int64_t width) const {
  return upsample_conv2d(x, height, width, conv_->weight, conv_->bias, conv_->geometry());
}

}  // namespace sara
