// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/linear.h"
#include "sara/ops/attention.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>

namespace sara {

// softmax(q kᵀ / sqrt(d)) v with d = C / heads, the heads being consecutive slices of the channels.
// q [B, T, C], k and v [B, S, C] -> [B, T, C]. `causal`: position t sees positions 0..t only (T = S).
torch::Tensor multi_head_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                                   int64_t heads, bool causal = false);

struct AttentionOptions {
  int64_t channels = 0;          // of the queries' input and of the result
  int64_t context_channels = 0;  // of the keys' and values' input
  int64_t heads = 1;             // must divide channels
  bool qkv_bias = false;
  bool upcast = false;  // compute the product and softmax in fp32 whatever the model's dtype
};

// to_out.0(attention(to_q(x), to_k(context), to_v(context))). The output projection always has a bias.
class Attention : public torch::nn::Module {
 public:
  Attention(const AttentionOptions& options, const torch::TensorOptions& tensor_options);
  // What a fused block needs instead of forward(), without its norm. Only for attention without qkv_bias.
  AttentionParameters parameters() const;
  // x [B, T, channels], context [B, S, context_channels] -> [B, T, channels]
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& context) const;

 private:
  int64_t heads_;
  bool upcast_;
  std::shared_ptr<Linear> to_q_, to_k_, to_v_, to_out_;
};

}  // namespace sara
