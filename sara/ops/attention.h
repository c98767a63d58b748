// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "sara/ops/memory_level.h"

namespace sara {

// Attention with its norm and its residual: x + to_out(softmax(q kᵀ / sqrt(d)) v), q = Wq n, k = Wk c, v = Wv c, where
// n = layer_norm(x), plus a table of positions when there is one, and c is the context, or n itself when there is none.
// Projections in have no bias.
struct AttentionParameters {
  torch::Tensor norm_weight, norm_bias;      // [C]
  torch::Tensor to_q, to_k, to_v;            // [C, C], [C, Cc], [C, Cc]
  torch::Tensor to_out_weight, to_out_bias;  // [C, C], [C]
  int64_t heads = 1;
  double eps = 1e-5;
  bool upcast = false;      // softmax and its products in fp32
  torch::Tensor positions;  // [T, C] added to the norm's result, never trained; or undefined
};

// x [B, T, C], context [B, S, Cc] or undefined -> [B, T, C]. On the CPU it keeps x, the norm's statistics, q, k, v (not at
// level n2), the attended values and one number a token and head; the T × S matrix never exists.
torch::Tensor attention_block(const torch::Tensor& x, const torch::Tensor& context, const AttentionParameters& parameters, MemoryLevel level);

}  // namespace sara
