// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/timestep.h"
#include "sara/models/denoiser.h"
#include "sara/models/unet_blocks.h"
#include "sara/models/unet_config.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <vector>

namespace sara {

// The denoiser of Stable Diffusion 1.x, 2.x and XL: a U-shaped network of resnets and transformers conditioned on the
// timestep and on the text, in XL also on sizes, crop and the pooled text (AddedConditions). Parameter names equal those
// of the published checkpoints (686 tensors in SD 1.5, 1,680 in XL). With motion in its config it is AnimateDiff's
// UNetMotionModel, a denoiser of clips: motion modules, `….motion_modules.i`, tie the frames to each other, all else sees
// each frame by itself. Dtype and device are those of the tensor options; the memory of the parameters is not initialised.
class UNet2DConditionModel : public Denoiser {
 public:
  // Throws InvalidArgument when the config is contradictory.
  explicit UNet2DConditionModel(const UNetConfig& config, const torch::TensorOptions& options = {});

  // sample [B, in_channels, H, W] and encoder_hidden_states [B, T, cross_attention_dim] in the model's dtype,
  // timestep [B] of any number type -> [B, out_channels, H, W]. Any H and W. With text_time in the config, added has
  // both members, otherwise none. With motion the sample is [B, in_channels, frames, H, W]. Throws InvalidArgument on other shapes.
  torch::Tensor forward(const torch::Tensor& sample, const torch::Tensor& timestep,
                        const torch::Tensor& encoder_hidden_states, const AddedConditions& added = {}) const override;

  DenoiserInputs inputs() const override;

  void set_memory_level(MemoryLevel level) override;
  int64_t kept_bytes(const PassSize& size, MemoryLevel level) const override;

  const UNetConfig& config() const { return config_; }

 private:
  void check_inputs(const torch::Tensor& sample, const torch::Tensor& timestep, const torch::Tensor& text) const;
  void check_added(const AddedConditions& added, int64_t batch) const;
  torch::Tensor answer(torch::Tensor maps, const UNetConditions& conditions) const;
  torch::Tensor time_embedding(const torch::Tensor& timestep, const AddedConditions& added, const torch::TensorOptions& like) const;

  UNetConfig config_;
  std::shared_ptr<Conv2d> conv_in_, conv_out_;
  std::shared_ptr<TimestepEmbedding> time_embedding_, add_embedding_;  // the latter with text_time
  std::vector<std::shared_ptr<UNetDownBlock>> down_blocks_;
  std::shared_ptr<UNetMidBlock> mid_block_;
  std::vector<std::shared_ptr<UNetUpBlock>> up_blocks_;
  std::shared_ptr<GroupNorm> norm_out_;
};

}  // namespace sara
