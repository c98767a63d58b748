// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/resnet.h"

#include "sara/layers/register_path.h"

#include <torch/types.h>

namespace sara {

ResnetBlock::ResnetBlock(const ResnetOptions& options, const torch::TensorOptions& tensor_options) {
  const auto& [in, out, time_channels, groups, eps] = options;
  norm1_ = make_at<GroupNorm>(*this, "norm1", groups, in, eps, tensor_options);
  conv1_ = make_at<Conv2d>(*this, "conv1", Conv2d::Shape{.in = in, .out = out}, tensor_options);
  if (time_channels > 0) time_ = make_at<Linear>(*this, "time_emb_proj", time_channels, out, true, tensor_options);
  norm2_ = make_at<GroupNorm>(*this, "norm2", groups, out, eps, tensor_options);
  conv2_ = make_at<Conv2d>(*this, "conv2", Conv2d::Shape{.in = out, .out = out}, tensor_options);
  if (in != out)
    shortcut_ = make_at<Conv2d>(*this, "conv_shortcut", Conv2d::Shape{.in = in, .out = out, .kernel = 1, .padding = 0},
                                tensor_options);
}

torch::Tensor ResnetBlock::forward(const torch::Tensor& x, const torch::Tensor& activated_time) const {
  auto hidden = conv1_->forward(at::silu(norm1_->forward(x)));
  if (time_) hidden = hidden + time_->forward(activated_time).unsqueeze(2).unsqueeze(3);
  hidden = conv2_->forward(at::silu(norm2_->forward(hidden)));
  return (shortcut_ ? shortcut_->forward(x) : x) + hidden;
}

}  // namespace sara
