// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/resnet.h"

#include "sara/layers/register_path.h"
#include "sara/ops/checkpoint.h"
#include "sara/ops/norm_conv2d.h"

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

torch::Tensor ResnetBlock::run(const torch::Tensor& x, const torch::Tensor& activated_time) const {
  const auto shift = time_ ? time_->forward(activated_time) : torch::Tensor();
  const auto hidden = norm_conv2d(x, norm1_->parameters_for(/*silu=*/true), conv1_->weight, conv1_->bias, conv1_->geometry(), shift);
  const auto residual = shortcut_ ? shortcut_->forward(x) : x;
  return norm_conv2d(hidden, norm2_->parameters_for(/*silu=*/true), conv2_->weight, conv2_->bias, conv2_->geometry(), {}, residual);
}

torch::Tensor ResnetBlock::forward(const torch::Tensor& x, const torch::Tensor& activated_time) const {
  if (level_ != MemoryLevel::checkpoint) return run(x, activated_time);
  return checkpoint([this](const auto& inputs) { return run(inputs[0], inputs[1]); }, {x, activated_time});
}

}  // namespace sara
