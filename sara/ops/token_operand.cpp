// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/token_operand.h"

#include "sara/ops/map_layout.h"
#include "sara/ops/turn.h"

namespace sara {

TokenOperand::TokenOperand(const torch::Tensor& tokens)
    : tokens_(tokens.reshape({-1, tokens.size(-1)}).contiguous()), count_(tokens_.size(0)), channels_(tokens_.size(1)) {}

TokenOperand TokenOperand::of_map(const torch::Tensor& map) {
  if (is_channels_last(map)) return TokenOperand(tokens_of_map(map));
  TokenOperand operand;
  operand.map_ = map.contiguous();
  operand.channels_ = map.size(1);
  operand.count_ = map.numel() / map.size(1);
  return operand;
}

const torch::Tensor& TokenOperand::tokens() {
  if (!tokens_.defined()) tokens_ = tokens_of_map(map_).view({-1, channels_});
  return tokens_;
}

}  // namespace sara
