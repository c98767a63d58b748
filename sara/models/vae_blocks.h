// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/attention.h"
#include "sara/layers/resample.h"
#include "sara/layers/resnet.h"
#include "sara/models/vae_config.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <vector>

namespace sara {

// Self-attention with one head over the positions of a feature map, plus the input: x + to_out.0(attention of
// group_norm(x)), group_norm with eps 1e-6. x [B, C, H, W].
class VaeAttention : public torch::nn::Module {
 public:
  VaeAttention(int64_t channels, int64_t norm_groups, const torch::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x) const;

 private:
  std::shared_ptr<GroupNorm> group_norm_;
  std::shared_ptr<Linear> to_q_, to_k_, to_v_, to_out_;
};

// resnet, attention when the config has it, resnet.
class VaeMidBlock : public torch::nn::Module {
 public:
  VaeMidBlock(const VaeConfig& config, const torch::TensorOptions& options);
  torch::Tensor forward(const torch::Tensor& x) const;

 private:
  std::shared_ptr<ResnetBlock> before_, after_;
  std::shared_ptr<VaeAttention> attention_;
};

// conv_in, down_blocks (resnets, then halved), mid_block, conv_norm_out, conv_out.
// pixels [B, in_channels, H, W] -> [B, 2 · latent_channels, H / factor, W / factor]
class VaeEncoder : public torch::nn::Module {
 public:
  VaeEncoder(const VaeConfig& config, const torch::TensorOptions& options);
  torch::Tensor forward(torch::Tensor x) const;

 private:
  std::shared_ptr<Conv2d> conv_in_, conv_out_;
  std::vector<std::vector<std::shared_ptr<ResnetBlock>>> resnets_;
  std::vector<std::shared_ptr<Downsample>> downsamplers_;
  std::shared_ptr<VaeMidBlock> mid_block_;
  std::shared_ptr<GroupNorm> norm_out_;
};

// conv_in, mid_block, up_blocks (resnets, then doubled), conv_norm_out, conv_out.
// latents [B, latent_channels, h, w] -> [B, out_channels, h · factor, w · factor]
class VaeDecoder : public torch::nn::Module {
 public:
  VaeDecoder(const VaeConfig& config, const torch::TensorOptions& options);
  torch::Tensor forward(torch::Tensor x) const;

 private:
  std::shared_ptr<Conv2d> conv_in_, conv_out_;
  std::vector<std::vector<std::shared_ptr<ResnetBlock>>> resnets_;
  std::vector<std::shared_ptr<Upsample>> upsamplers_;
  std::shared_ptr<VaeMidBlock> mid_block_;
  std::shared_ptr<GroupNorm> norm_out_;
};

}  // namespace sara
