// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/linear.h"
#include "sara/ops/feed_forward.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>

namespace sara {

// The gated feed-forward (GEGLU): with [a, g] = net.0.proj(x), net.2(a · gelu(g)), gelu by the exact erf.
// The inner width is 4 × channels; net.0.proj is [8 × channels, channels]. x is [B, T, channels].
class FeedForward : public torch::nn::Module {
 public:
  FeedForward(int64_t channels, const torch::TensorOptions& options);
  FeedForwardParameters parameters() const;  // for feed_forward_block, without its norm

 private:
  std::shared_ptr<Linear> in_, out_;
};

}  // namespace sara
