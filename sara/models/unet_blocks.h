// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/resample.h"
#include "sara/layers/resnet.h"
#include "sara/layers/temporal_transformer.h"
#include "sara/layers/transformer.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <optional>
#include <vector>

namespace sara {

struct UNetBlockOptions {
  int64_t in = 0, out = 0;
  int64_t layers = 2;  // resnets
  int64_t time_channels = 0;
  int64_t norm_groups = 32;
  double norm_eps = 1e-5;
  std::optional<TransformerOptions> transformer;     // one after each resnet when given
  std::optional<TemporalTransformerOptions> motion;  // a motion module after each of these when given
};

// What every block is conditioned on: silu(time embedding) [N, time_channels] of every map and the text
// [B, T, cross_attention_dim]. There are N = B · frames maps, those of a clip one after the other.
struct UNetConditions {
  torch::Tensor activated_time, text;
  int64_t frames = 1;
};

// A transformer and a motion module, each when it is there.
torch::Tensor attended(torch::Tensor x, const UNetConditions& conditions, const Transformer2D* transformer, const TemporalTransformer* motion);

// DownBlock2D, or CrossAttnDownBlock2D with a transformer. Pushes the result of every layer and of the downsampler
// on `skips`.
class UNetDownBlock : public torch::nn::Module {
 public:
  // downsample_padding: none in the innermost block, which does not downsample.
  UNetDownBlock(const UNetBlockOptions& options, std::optional<int64_t> downsample_padding,
                const torch::TensorOptions& tensor_options);
  torch::Tensor forward(torch::Tensor x, const UNetConditions& conditions, std::vector<torch::Tensor>& skips) const;

 private:
  std::vector<std::shared_ptr<ResnetBlock>> resnets_;
  std::vector<std::shared_ptr<Transformer2D>> attentions_;
  std::vector<std::shared_ptr<TemporalTransformer>> motion_modules_;
  std::shared_ptr<Downsample> downsample_;
};

// UNetMidBlock2DCrossAttn: resnet, transformer, motion module when given, resnet. options.in = options.out.
class UNetMidBlock : public torch::nn::Module {
 public:
  UNetMidBlock(const UNetBlockOptions& options, const torch::TensorOptions& tensor_options);
  torch::Tensor forward(const torch::Tensor& x, const UNetConditions& conditions) const;

 private:
  std::shared_ptr<ResnetBlock> before_, after_;
  std::shared_ptr<Transformer2D> attention_;
  std::shared_ptr<TemporalTransformer> motion_module_;
};

// UpBlock2D, or CrossAttnUpBlock2D with a transformer. Every layer takes one tensor from the back of `skips` and
// concatenates it; afterwards the map is enlarged to the size of the skip that comes next, so that sizes that are not
// multiples of the total factor fit.
class UNetUpBlock : public torch::nn::Module {
 public:
  // last_skip: channels of the skip that the last layer takes (the others have options.out).
  UNetUpBlock(const UNetBlockOptions& options, int64_t last_skip, bool upsample,
              const torch::TensorOptions& tensor_options);
  torch::Tensor forward(torch::Tensor x, const UNetConditions& conditions, std::vector<torch::Tensor>& skips) const;

 private:
  std::vector<std::shared_ptr<ResnetBlock>> resnets_;
  std::vector<std::shared_ptr<Transformer2D>> attentions_;
  std::vector<std::shared_ptr<TemporalTransformer>> motion_modules_;
  std::shared_ptr<Upsample> upsample_;
};

}  // namespace sara
