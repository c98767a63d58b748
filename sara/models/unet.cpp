// SPDX-License-Identifier: Apache-2.0
#include "sara/models/unet.h"

#include "sara/base/error.h"
#include "sara/base/message.h"
#include "sara/layers/register_path.h"
#include "sara/models/memory_plan.h"
#include "sara/ops/map_layout.h"
#include "sara/ops/norm_conv2d.h"

#include <torch/types.h>

#include <algorithm>
#include <utility>

namespace sara {
namespace {

constexpr int64_t kTimeIds = 6;  // original height and width, crop top and left, target height and width

UNetBlockOptions block_options(const UNetConfig& config, size_t level, bool attention) {
  const int64_t channels = config.block_out_channels[level];
  UNetBlockOptions options{.in = channels,
                           .out = channels,
                           .layers = config.layers_per_block[level],
                           .time_channels = 4 * config.block_out_channels[0],
                           .norm_groups = config.norm_num_groups,
                           .norm_eps = config.norm_eps,
                           .transformer = {},
                           .motion = {}};
  if (attention)
    options.transformer = TransformerOptions{.channels = channels,
                                             .heads = config.heads[level],
                                             .layers = config.transformer_layers_per_block[level],
                                             .cross_attention_dim = config.cross_attention_dim,
                                             .norm_groups = config.norm_num_groups,
                                             .linear_projection = config.use_linear_projection,
                                             .upcast_attention = config.upcast_attention};
  if (config.motion)
    options.motion = TemporalTransformerOptions{.channels = channels,
                                                .heads = config.motion->heads[level],
                                                .layers = config.motion->layers[level],
                                                .max_frames = config.motion->max_frames,
                                                .norm_groups = config.norm_num_groups};
  return options;
}

// The middle has its own number of temporal layers, or no motion module at all.
UNetBlockOptions middle_options(const UNetConfig& config) {
  auto options = block_options(config, config.block_out_channels.size() - 1, /*attention=*/true);
  if (options.motion) options.motion->layers = config.motion->mid_layers;
  if (config.motion && !config.motion->mid_block) options.motion.reset();
  return options;
}

UNetConfig checked(const UNetConfig& config) {
  config.check();
  return config;
}

}  // namespace

UNet2DConditionModel::UNet2DConditionModel(const UNetConfig& given, const torch::TensorOptions& options)
    : config_(checked(given)) {
  const auto& channels = config_.block_out_channels;
  const size_t levels = channels.size();
  const auto same_size = [](int64_t in, int64_t out, int64_t kernel) {
    return Conv2d::Shape{.in = in, .out = out, .kernel = kernel, .padding = (kernel - 1) / 2};
  };
  conv_in_ =
      make_at<Conv2d>(*this, "conv_in", same_size(config_.in_channels, channels[0], config_.conv_in_kernel), options);
  time_embedding_ = make_at<TimestepEmbedding>(*this, "time_embedding", channels[0], 4 * channels[0], options);
  if (config_.text_time)
    add_embedding_ = make_at<TimestepEmbedding>(*this, "add_embedding", config_.text_time->in_channels, 4 * channels[0], options);
  for (size_t level = 0; level < levels; ++level) {
    auto block = block_options(config_, level, config_.down_block_types[level] == "CrossAttnDownBlock2D");
    block.in = channels[level == 0 ? 0 : level - 1];
    const auto padding = level + 1 < levels ? std::optional<int64_t>(config_.downsample_padding) : std::nullopt;
    down_blocks_.push_back(make_at<UNetDownBlock>(*this, message("down_blocks.", level), block, padding, options));
  }
  mid_block_ = make_at<UNetMidBlock>(*this, "mid_block", middle_options(config_), options);
  for (size_t i = 0; i < levels; ++i) {
    const size_t level = levels - 1 - i;
    auto block = block_options(config_, level, config_.up_block_types[i] == "CrossAttnUpBlock2D");
    block.in = channels[std::min(level + 1, levels - 1)];
    block.layers += 1;
    const int64_t last_skip = channels[level == 0 ? 0 : level - 1];
    up_blocks_.push_back(make_at<UNetUpBlock>(*this, message("up_blocks.", i), block, last_skip, level > 0, options));
  }
  norm_out_ =
      make_at<GroupNorm>(*this, "conv_norm_out", config_.norm_num_groups, channels[0], config_.norm_eps, options);
  conv_out_ = make_at<Conv2d>(*this, "conv_out", same_size(channels[0], config_.out_channels, config_.conv_out_kernel),
                              options);
}

void UNet2DConditionModel::check_inputs(const torch::Tensor& sample, const torch::Tensor& timestep,
                                        const torch::Tensor& text) const {
  const auto fail = [](const char* what, const std::string& expected, const torch::Tensor& got) {
    throw InvalidArgument(message("UNet2DConditionModel: ", what, " has the wrong shape (expected ", expected, ", got ",
                                  got.sizes(), "). Fix: match the model's config.json"));
  };
  if (sample.dim() != (config_.motion ? 5 : 4) || sample.size(1) != config_.in_channels)
    fail("sample", message("[B, ", config_.in_channels, config_.motion ? ", frames" : "", ", H, W]"), sample);
  if (config_.motion && sample.size(2) > config_.motion->max_frames)
    throw InvalidArgument(message("the motion modules know ", config_.motion->max_frames, " frames, got ", sample.size(2), ". Fix: ask for fewer frames"));
  if (timestep.dim() != 1 || timestep.size(0) != sample.size(0))
    fail("timestep", message("[", sample.size(0), "]"), timestep);
  if (text.dim() != 3 || text.size(0) != sample.size(0) || text.size(2) != config_.cross_attention_dim)
    fail("encoder_hidden_states", message("[", sample.size(0), ", T, ", config_.cross_attention_dim, "]"), text);
}

void UNet2DConditionModel::set_memory_level(MemoryLevel level) {
  for (const auto& module : modules(/*include_self=*/false)) {
    if (auto* resnet = dynamic_cast<ResnetBlock*>(module.get())) resnet->set_memory_level(level);
    if (auto* transformer = dynamic_cast<Transformer2D*>(module.get())) transformer->set_memory_level(level);
    if (auto* motion = dynamic_cast<TemporalTransformer*>(module.get())) motion->set_memory_level(level);
  }
}

int64_t UNet2DConditionModel::kept_bytes(const PassSize& size, MemoryLevel level) const { return sara::kept_bytes(config_, size, level); }

DenoiserInputs UNet2DConditionModel::inputs() const {
  DenoiserInputs inputs{.latent_channels = config_.in_channels,
                        .sample_size = config_.sample_size,
                        .text_width = config_.cross_attention_dim};
  if (config_.text_time) {
    inputs.pooled_width = config_.text_time->in_channels - kTimeIds * config_.text_time->time_channels;
    inputs.time_ids = true;
  }
  if (config_.motion) inputs.max_frames = config_.motion->max_frames;
  return inputs;
}

void UNet2DConditionModel::check_added(const AddedConditions& added, int64_t batch) const {
  const bool pooled = added.pooled_text.defined(), ids = added.time_ids.defined();
  if (!config_.text_time) {
    if (pooled || ids)
      throw InvalidArgument(
          "UNet2DConditionModel: this model takes neither pooled text nor time ids. Fix: leave the added conditions out");
    return;
  }
  const auto is_batch = [&](const torch::Tensor& t) { return t.dim() == 2 && t.size(0) == batch; };
  const bool fits = pooled && ids && is_batch(added.pooled_text) && is_batch(added.time_ids) &&
                    added.pooled_text.size(1) + added.time_ids.size(1) * config_.text_time->time_channels ==
                        config_.text_time->in_channels;
  if (fits) return;
  const auto shape = [](const torch::Tensor& t) { return t.defined() ? message(t.sizes()) : "none"; };
  throw InvalidArgument(message("UNet2DConditionModel: the added conditions do not fit (expected pooled text [", batch,
                                ", P] and time ids [", batch, ", N] with P + N * ", config_.text_time->time_channels,
                                " = ", config_.text_time->in_channels, ", got ", shape(added.pooled_text), " and ",
                                shape(added.time_ids), "). Fix: match the model's config.json"));
}

torch::Tensor UNet2DConditionModel::time_embedding(const torch::Tensor& timestep, const AddedConditions& added,
                                                   const torch::TensorOptions& like) const {
  SinusoidOptions sinusoid{config_.block_out_channels[0], config_.flip_sin_to_cos, config_.freq_shift};
  const auto time = time_embedding_->forward(sinusoids(timestep, sinusoid).to(like));
  if (!config_.text_time) return time;
  sinusoid.channels = config_.text_time->time_channels;
  const auto ids = sinusoids(added.time_ids.flatten(), sinusoid).view({timestep.size(0), -1});
  return time + add_embedding_->forward(torch::cat({added.pooled_text.to(ids.options()), ids}, 1).to(like));
}

torch::Tensor UNet2DConditionModel::forward(const torch::Tensor& sample, const torch::Tensor& timestep,
                                            const torch::Tensor& encoder_hidden_states,
                                            const AddedConditions& added) const {
  check_inputs(sample, timestep, encoder_hidden_states);
  check_added(added, sample.size(0));
  auto activated_time = at::silu(time_embedding(timestep, added, sample.options()));
  if (!config_.motion) return answer(sample, {activated_time, encoder_hidden_states});
  const int64_t batch = sample.size(0), frames = sample.size(2);
  activated_time = activated_time.repeat_interleave(frames, 0);
  return answer(sample.transpose(1, 2).flatten(0, 1).contiguous(), {activated_time, encoder_hidden_states, frames}).unflatten(0, {batch, frames}).transpose(1, 2);
}

torch::Tensor UNet2DConditionModel::answer(torch::Tensor maps, const UNetConditions& conditions) const {
  maps = for_device(maps);
  auto x = conv_in_->forward(config_.center_input_sample ? 2 * maps - 1 : maps);
  std::vector<torch::Tensor> skips{x};
  for (const auto& block : down_blocks_) x = block->forward(std::move(x), conditions, skips);
  x = mid_block_->forward(x, conditions);
  for (const auto& block : up_blocks_) x = block->forward(std::move(x), conditions, skips);
  return norm_conv2d(x, norm_out_->parameters_for(/*silu=*/true), conv_out_->weight, conv_out_->bias, conv_out_->geometry());
}

}  // namespace sara
