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

// What the forward pass keeps beside x and the norm's statistics. The backward pass makes the rest again: queries cost a product of C × C,
// attended values (with one number a token and head) 2 S / C of that, so the cheaper of the two is left out, both where S is a
// short text; keys and values go at level n2.
struct AttentionKept {
  bool queries, keys_and_values, attended;
};
AttentionKept attention_kept(MemoryLevel level, bool has_context, int64_t keys, int64_t channels);

// x [B, T, C], context [B, S, Cc] or undefined -> [B, T, C]. On the CPU it keeps what attention_kept() says; the T × S matrix never exists.
torch::Tensor attention_block(const torch::Tensor& x, const torch::Tensor& context, const AttentionParameters& parameters, MemoryLevel level);

}  // namespace sara
