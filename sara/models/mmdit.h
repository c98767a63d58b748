// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/adaptive_norm.h"
#include "sara/layers/linear.h"
#include "sara/layers/patch_embed.h"
#include "sara/layers/timestep.h"
#include "sara/models/denoiser.h"
#include "sara/models/mmdit_block.h"
#include "sara/models/mmdit_config.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <vector>

namespace sara {

// The denoiser of Stable Diffusion 3 and 3.5: a transformer over patches of the latents and the text's tokens, conditioned
// on the timestep and the pooled text. Parameter names equal those of the published checkpoints (682 tensors in 3.0
// medium); the position table is a buffer, pos_embed.pos_embed. Dtype and device are those of the tensor options; the
// memory of the parameters is not initialised.
class SD3Transformer2DModel : public Denoiser {
 public:
  // Throws InvalidArgument when the config is contradictory.
  explicit SD3Transformer2DModel(const MmditConfig& config, const torch::TensorOptions& options = {});

  // sample [B, in_channels, H, W], H and W multiples of patch_size; timestep [B] = num_train_timesteps · sigma; text
  // [B, T, joint_attention_dim]; added.pooled_text [B, pooled_projection_dim] -> [B, out_channels, H, W], the velocity.
  // Throws InvalidArgument on other shapes, and for time ids.
  torch::Tensor forward(const torch::Tensor& sample, const torch::Tensor& timestep, const torch::Tensor& text,
                        const AddedConditions& added = {}) const override;

  DenoiserInputs inputs() const override;
  // Only MemoryLevel::checkpoint differs from N0: it keeps each block's input and runs the block again.
  void set_memory_level(MemoryLevel level) override;
  int64_t kept_bytes(const PassSize& size, MemoryLevel level) const override;
  const MmditConfig& config() const { return config_; }

 private:
  void check_inputs(const torch::Tensor& sample, const torch::Tensor& timestep, const torch::Tensor& text, const AddedConditions& added) const;
  torch::Tensor unpatched(const torch::Tensor& patches, int64_t height, int64_t width) const;

  MmditConfig config_;
  std::shared_ptr<PatchEmbed> pos_embed_;
  std::shared_ptr<TimestepEmbedding> timestep_embedder_, text_embedder_;
  std::shared_ptr<Linear> context_embedder_, proj_out_;
  std::vector<std::shared_ptr<MmditBlock>> blocks_;
  std::shared_ptr<AdaptiveNorm> norm_out_;
};

}  // namespace sara
