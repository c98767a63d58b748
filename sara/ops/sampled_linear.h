// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <vector>

namespace sara {

// One side of a linear layer's weight gradient: numbers of `count` tokens and `channels` channels, token-major [..., channels]
// or as a feature map [B, channels, ...].
class TokenOperand {
 public:
  explicit TokenOperand(const torch::Tensor& tokens);
  static TokenOperand of_map(const torch::Tensor& map);

  int64_t count() const { return count_; }
  int64_t channels() const { return channels_; }
  const torch::Tensor& tokens();  // [count, channels]

  // The numbers as they were given: tokens [count, channels], or a map [B, channels, ...].
  const torch::Tensor& given() const { return map_.defined() ? map_ : tokens_; }
  bool is_map() const { return map_.defined(); }

 private:
  TokenOperand() = default;
  torch::Tensor map_, tokens_;
  int64_t count_ = 0, channels_ = 0;
};

// What is wanted of one layer: out[k] += dW[indices[k]] for dW[o, i] = sum_t gradient[t, o] · input[t, i] [out, in] and sorted flat positions
// `indices` (int32), in fp32; `row_starts` as in Values::Slot.
struct SampledLinear {
  torch::Tensor out, indices, row_starts;
  const TokenOperand& gradient;
  torch::Tensor gradient_sums = {};  // [out], fp32: the gradient's sums over tokens are added, for its bias; may be undefined
};

// For layers with the same input. The cost is that of as many dot products as there are indices: no dense gradient exists. Some tokens at a time are
// turned, so that each channel's lie together, of the gradients' channels those whose entries come next. The same bits at any thread count.
void sampled_linear_add_(const std::vector<SampledLinear>& layers, const TokenOperand& input);

}  // namespace sara
