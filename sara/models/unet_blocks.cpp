// SPDX-License-Identifier: Apache-2.0
#include "sara/models/unet_blocks.h"

#include "sara/base/message.h"
#include "sara/layers/register_path.h"

#include <torch/types.h>

#include <utility>

namespace sara {
namespace {

ResnetOptions resnet_options(const UNetBlockOptions& options, int64_t in) {
  return {in, options.out, options.time_channels, options.norm_groups, options.norm_eps};
}

// The i-th of a list that is empty when the block has none.
template <class Layer>
const Layer* layer_of(const std::vector<std::shared_ptr<Layer>>& layers, size_t i) { return layers.empty() ? nullptr : layers[i].get(); }

}  // namespace

torch::Tensor attended(torch::Tensor x, const UNetConditions& conditions, const Transformer2D* transformer, const TemporalTransformer* motion) {
  if (transformer) x = transformer->forward(x, conditions.text);
  return motion ? motion->forward(x, conditions.frames) : x;
}

UNetDownBlock::UNetDownBlock(const UNetBlockOptions& options, std::optional<int64_t> downsample_padding,
                             const torch::TensorOptions& tensor_options) {
  for (int64_t i = 0; i < options.layers; ++i) {
    const auto resnet = resnet_options(options, i == 0 ? options.in : options.out);
    resnets_.push_back(make_at<ResnetBlock>(*this, message("resnets.", i), resnet, tensor_options));
    if (options.transformer)
      attentions_.push_back(
          make_at<Transformer2D>(*this, message("attentions.", i), *options.transformer, tensor_options));
    if (options.motion) motion_modules_.push_back(make_at<TemporalTransformer>(*this, message("motion_modules.", i), *options.motion, tensor_options));
  }
  if (downsample_padding)
    downsample_ = make_at<Downsample>(*this, "downsamplers.0", options.out, *downsample_padding, tensor_options);
}

torch::Tensor UNetDownBlock::forward(torch::Tensor x, const UNetConditions& conditions,
                                     std::vector<torch::Tensor>& skips) const {
  for (size_t i = 0; i < resnets_.size(); ++i) {
    x = resnets_[i]->forward(x, conditions.activated_time);
    x = attended(x, conditions, layer_of(attentions_, i), layer_of(motion_modules_, i));
    skips.push_back(x);
  }
  if (downsample_) {
    x = downsample_->forward(x);
    skips.push_back(x);
  }
  return x;
}

UNetMidBlock::UNetMidBlock(const UNetBlockOptions& options, const torch::TensorOptions& tensor_options) {
  const auto resnet = resnet_options(options, options.out);
  before_ = make_at<ResnetBlock>(*this, "resnets.0", resnet, tensor_options);
  attention_ = make_at<Transformer2D>(*this, "attentions.0", options.transformer.value(), tensor_options);
  if (options.motion) motion_module_ = make_at<TemporalTransformer>(*this, "motion_modules.0", *options.motion, tensor_options);
  after_ = make_at<ResnetBlock>(*this, "resnets.1", resnet, tensor_options);
}

torch::Tensor UNetMidBlock::forward(const torch::Tensor& x, const UNetConditions& conditions) const {
  const auto hidden = attended(before_->forward(x, conditions.activated_time), conditions, attention_.get(), motion_module_.get());
  return after_->forward(hidden, conditions.activated_time);
}

UNetUpBlock::UNetUpBlock(const UNetBlockOptions& options, int64_t last_skip, bool upsample,
                         const torch::TensorOptions& tensor_options) {
  for (int64_t i = 0; i < options.layers; ++i) {
    const int64_t skip = i == options.layers - 1 ? last_skip : options.out;
    const auto resnet = resnet_options(options, (i == 0 ? options.in : options.out) + skip);
    resnets_.push_back(make_at<ResnetBlock>(*this, message("resnets.", i), resnet, tensor_options));
    if (options.transformer)
      attentions_.push_back(
          make_at<Transformer2D>(*this, message("attentions.", i), *options.transformer, tensor_options));
    if (options.motion) motion_modules_.push_back(make_at<TemporalTransformer>(*this, message("motion_modules.", i), *options.motion, tensor_options));
  }
  if (upsample) upsample_ = make_at<Upsample>(*this, "upsamplers.0", options.out, tensor_options);
}

torch::Tensor UNetUpBlock::forward(torch::Tensor x, const UNetConditions& conditions,
                                   std::vector<torch::Tensor>& skips) const {
  for (size_t i = 0; i < resnets_.size(); ++i) {
    x = at::cat({x, skips.back()}, 1);
    skips.pop_back();
    x = resnets_[i]->forward(x, conditions.activated_time);
    x = attended(x, conditions, layer_of(attentions_, i), layer_of(motion_modules_, i));
  }
  return upsample_ ? upsample_->forward(x, skips.back().size(2), skips.back().size(3)) : x;
}

}  // namespace sara
