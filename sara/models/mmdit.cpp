// SPDX-License-Identifier: Apache-2.0
#include "sara/models/mmdit.h"

#include "sara/base/error.h"
#include "sara/base/message.h"
#include "sara/layers/register_path.h"
#include "sara/models/memory_plan.h"

#include <torch/types.h>

namespace sara {
namespace {

constexpr int64_t kTimeChannels = 256;  // not in the config

MmditConfig checked_mmdit(const MmditConfig& config) {
  config.check();
  return config;
}

}  // namespace

SD3Transformer2DModel::SD3Transformer2DModel(const MmditConfig& given, const torch::TensorOptions& options) : config_(checked_mmdit(given)) {
  const int64_t width = config_.width();
  const PatchEmbedOptions patches{.in = config_.in_channels,
                                  .channels = width,
                                  .patch = config_.patch_size,
                                  .table_side = config_.pos_embed_max_size,
                                  .base_side = config_.sample_size / config_.patch_size};
  pos_embed_ = make_at<PatchEmbed>(*this, "pos_embed", patches, options);
  timestep_embedder_ = make_at<TimestepEmbedding>(*this, "time_text_embed.timestep_embedder", kTimeChannels, width, options);
  text_embedder_ = make_at<TimestepEmbedding>(*this, "time_text_embed.text_embedder", config_.pooled_projection_dim, width, options);
  context_embedder_ = make_at<Linear>(*this, "context_embedder", config_.joint_attention_dim, width, true, options);
  for (int64_t i = 0; i < config_.num_layers; ++i) {
    const MmditBlockOptions block{.channels = width,
                                  .heads = config_.num_attention_heads,
                                  .qk_norm = config_.qk_norm,
                                  .dual_attention = config_.dual_attention_layers.count(i) > 0,
                                  .last = i + 1 == config_.num_layers};
    blocks_.push_back(make_at<MmditBlock>(*this, message("transformer_blocks.", i), block, options));
  }
  norm_out_ = make_at<AdaptiveNorm>(*this, "norm_out", width, 2, options);
  proj_out_ = make_at<Linear>(*this, "proj_out", width, config_.patch_size * config_.patch_size * config_.out_channels, true, options);
}

DenoiserInputs SD3Transformer2DModel::inputs() const {
  return {.latent_channels = config_.in_channels,
          .sample_size = config_.sample_size,
          .patch = config_.patch_size,
          .text_width = config_.joint_attention_dim,
          .pooled_width = config_.pooled_projection_dim};
}

void SD3Transformer2DModel::set_memory_level(MemoryLevel level) {
  for (const auto& block : blocks_) block->set_memory_level(level);
}

int64_t SD3Transformer2DModel::kept_bytes(const PassSize& size, MemoryLevel level) const { return sara::kept_bytes(config_, size, level); }

void SD3Transformer2DModel::check_inputs(const torch::Tensor& sample, const torch::Tensor& timestep, const torch::Tensor& text,
                                         const AddedConditions& added) const {
  const auto fail = [](const char* what, const std::string& expected, const torch::Tensor& got) {
    throw InvalidArgument(message("SD3Transformer2DModel: ", what, " has the wrong shape (expected ", expected, ", got ",
                                  got.defined() ? message(got.sizes()) : "none", "). Fix: match the model's config.json"));
  };
  const int64_t batch = sample.dim() > 0 ? sample.size(0) : 0;
  if (sample.dim() != 4 || sample.size(1) != config_.in_channels) fail("sample", message("[B, ", config_.in_channels, ", H, W]"), sample);
  if (timestep.dim() != 1 || timestep.size(0) != batch) fail("timestep", message("[", batch, "]"), timestep);
  if (text.dim() != 3 || text.size(0) != batch || text.size(2) != config_.joint_attention_dim)
    fail("text", message("[", batch, ", T, ", config_.joint_attention_dim, "]"), text);
  const auto& pooled = added.pooled_text;
  if (!pooled.defined() || pooled.dim() != 2 || pooled.size(0) != batch || pooled.size(1) != config_.pooled_projection_dim)
    fail("pooled text", message("[", batch, ", ", config_.pooled_projection_dim, "]"), pooled);
  if (added.time_ids.defined()) throw InvalidArgument("SD3Transformer2DModel: this model takes no time ids. Fix: leave them out");
}

torch::Tensor SD3Transformer2DModel::forward(const torch::Tensor& sample, const torch::Tensor& timestep, const torch::Tensor& text,
                                             const AddedConditions& added) const {
  check_inputs(sample, timestep, text, added);
  const auto time = sinusoids(timestep, SinusoidOptions{.channels = kTimeChannels}).to(sample.options());
  const auto condition = at::silu(timestep_embedder_->forward(time) + text_embedder_->forward(added.pooled_text.to(sample.options())));
  MmditStreams streams{pos_embed_->forward(sample), context_embedder_->forward(text)};
  for (const auto& block : blocks_) streams = block->forward(streams, condition);
  const auto by = norm_out_->forward(condition);  // the scale comes first
  return unpatched(proj_out_->forward(modulated(plain_layer_norm(streams.picture), by[1], by[0])), sample.size(2), sample.size(3));
}

// [B, H/p · W/p, p · p · C] -> [B, C, H, W]
torch::Tensor SD3Transformer2DModel::unpatched(const torch::Tensor& patches, int64_t height, int64_t width) const {
  const int64_t p = config_.patch_size;
  return patches.view({patches.size(0), height / p, width / p, p, p, config_.out_channels})
      .permute({0, 5, 1, 3, 2, 4})
      .reshape({patches.size(0), config_.out_channels, height, width});
}

}  // namespace sara
