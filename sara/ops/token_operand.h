// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

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

}  // namespace sara
