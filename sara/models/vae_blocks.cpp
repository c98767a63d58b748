// SPDX-License-Identifier: Apache-2.0
#include "sara/models/vae_blocks.h"

#include "sara/base/message.h"
#include "sara/layers/register_path.h"

#include <torch/types.h>

namespace sara {
namespace {

constexpr double kNormEps = 1e-6;  // not in the config

ResnetOptions resnet(const VaeConfig& config, int64_t in, int64_t out) {
  return {in, out, 0, config.norm_num_groups, kNormEps};
}

Conv2d::Shape conv3(int64_t in, int64_t out) { return {.in = in, .out = out}; }

}  // namespace

VaeAttention::VaeAttention(int64_t channels, int64_t norm_groups, const torch::TensorOptions& options) {
  group_norm_ = make_at<GroupNorm>(*this, "group_norm", norm_groups, channels, kNormEps, options);
  to_q_ = make_at<Linear>(*this, "to_q", channels, channels, true, options);
  to_k_ = make_at<Linear>(*this, "to_k", channels, channels, true, options);
  to_v_ = make_at<Linear>(*this, "to_v", channels, channels, true, options);
  to_out_ = make_at<Linear>(*this, "to_out.0", channels, channels, true, options);
}

torch::Tensor VaeAttention::forward(const torch::Tensor& x) const {
  const auto tokens = group_norm_->forward(x).flatten(2).transpose(1, 2).contiguous();  // [B, H·W, C]
  const auto seen = multi_head_attention(to_q_->forward(tokens), to_k_->forward(tokens), to_v_->forward(tokens), 1);
  return x + to_out_->forward(seen).transpose(1, 2).unflatten(2, {x.size(2), x.size(3)});
}

VaeMidBlock::VaeMidBlock(const VaeConfig& config, const torch::TensorOptions& options) {
  const int64_t channels = config.block_out_channels.back();
  before_ = make_at<ResnetBlock>(*this, "resnets.0", resnet(config, channels, channels), options);
  if (config.mid_block_add_attention)
    attention_ = make_at<VaeAttention>(*this, "attentions.0", channels, config.norm_num_groups, options);
  after_ = make_at<ResnetBlock>(*this, "resnets.1", resnet(config, channels, channels), options);
}

torch::Tensor VaeMidBlock::forward(const torch::Tensor& x) const {
  const auto hidden = before_->forward(x);
  return after_->forward(attention_ ? attention_->forward(hidden) : hidden);
}

VaeEncoder::VaeEncoder(const VaeConfig& config, const torch::TensorOptions& options) {
  const auto& channels = config.block_out_channels;
  conv_in_ = make_at<Conv2d>(*this, "conv_in", conv3(config.in_channels, channels[0]), options);
  for (size_t level = 0; level < channels.size(); ++level) {
    const std::string block = message("down_blocks.", level);
    auto& layers = resnets_.emplace_back();
    for (int64_t i = 0; i < config.layers_per_block; ++i) {
      const int64_t in = channels[i == 0 && level > 0 ? level - 1 : level];
      layers.push_back(
          make_at<ResnetBlock>(*this, message(block, ".resnets.", i), resnet(config, in, channels[level]), options));
    }
    if (level + 1 < channels.size())
      downsamplers_.push_back(make_at<Downsample>(*this, block + ".downsamplers.0", channels[level], 0, options));
  }
  mid_block_ = make_at<VaeMidBlock>(*this, "mid_block", config, options);
  norm_out_ = make_at<GroupNorm>(*this, "conv_norm_out", config.norm_num_groups, channels.back(), kNormEps, options);
  conv_out_ = make_at<Conv2d>(*this, "conv_out", conv3(channels.back(), 2 * config.latent_channels), options);
}

torch::Tensor VaeEncoder::forward(torch::Tensor x) const {
  x = conv_in_->forward(x);
  for (size_t level = 0; level < resnets_.size(); ++level) {
    for (const auto& layer : resnets_[level]) x = layer->forward(x);
    if (level < downsamplers_.size()) x = downsamplers_[level]->forward(x);
  }
  return conv_out_->forward(at::silu(norm_out_->forward(mid_block_->forward(x))));
}

VaeDecoder::VaeDecoder(const VaeConfig& config, const torch::TensorOptions& options) {
  const auto& channels = config.block_out_channels;
  conv_in_ = make_at<Conv2d>(*this, "conv_in", conv3(config.latent_channels, channels.back()), options);
  mid_block_ = make_at<VaeMidBlock>(*this, "mid_block", config, options);
  for (size_t step = 0; step < channels.size(); ++step) {
    const size_t level = channels.size() - 1 - step;
    const std::string block = message("up_blocks.", step);
    auto& layers = resnets_.emplace_back();
    for (int64_t i = 0; i < config.layers_per_block + 1; ++i) {
      const int64_t in = channels[i == 0 && step > 0 ? level + 1 : level];
      layers.push_back(
          make_at<ResnetBlock>(*this, message(block, ".resnets.", i), resnet(config, in, channels[level]), options));
    }
    if (level > 0) upsamplers_.push_back(make_at<Upsample>(*this, block + ".upsamplers.0", channels[level], options));
  }
  norm_out_ = make_at<GroupNorm>(*this, "conv_norm_out", config.norm_num_groups, channels[0], kNormEps, options);
  conv_out_ = make_at<Conv2d>(*this, "conv_out", conv3(channels[0], config.out_channels), options);
}

torch::Tensor VaeDecoder::forward(torch::Tensor x) const {
  x = mid_block_->forward(conv_in_->forward(x));
  for (size_t step = 0; step < resnets_.size(); ++step) {
    for (const auto& layer : resnets_[step]) x = layer->forward(x);
    if (step < upsamplers_.size()) x = upsamplers_[step]->forward(x, 2 * x.size(2), 2 * x.size(3));
  }
  return conv_out_->forward(at::silu(norm_out_->forward(x)));
}

}  // namespace sara
