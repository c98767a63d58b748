// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/conv.h"
#include "sara/layers/linear.h"
#include "sara/layers/norm.h"
#include "sara/ops/memory_level.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>

namespace sara {

struct ResnetOptions {
  int64_t in = 0, out = 0;
  int64_t time_channels = 0;  // 0: no time embedding (autoencoder)
  int64_t norm_groups = 32;
  double norm_eps = 1e-5;
};

// shortcut(x) + conv2(silu(norm2(conv1(silu(norm1(x))) + time_emb_proj(e)))).
// The shortcut is the identity when in = out, else a 1x1 convolution `conv_shortcut`.
class ResnetBlock : public torch::nn::Module {
 public:
  ResnetBlock(const ResnetOptions& options, const torch::TensorOptions& tensor_options);
  void set_memory_level(MemoryLevel level) { level_ = level; }
  // x [B, in, H, W], activated_time = silu(time embedding) [B, time_channels], undefined without time channels.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& activated_time = {}) const;

 private:
  torch::Tensor run(const torch::Tensor& x, const torch::Tensor& activated_time) const;

  MemoryLevel level_ = MemoryLevel::n0;
  std::shared_ptr<GroupNorm> norm1_, norm2_;
  std::shared_ptr<Conv2d> conv1_, conv2_, shortcut_;
  std::shared_ptr<Linear> time_;
};

}  // namespace sara
