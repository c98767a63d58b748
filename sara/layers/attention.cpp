// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/attention.h"

#include "sara/base/error.h"
#include "sara/base/message.h"
#include "sara/layers/register_path.h"

#include <torch/types.h>

namespace sara {
namespace {

// [B, T, C] -> [B, heads, T, C / heads] without copying
torch::Tensor split_heads(const torch::Tensor& x, int64_t heads) { return x.unflatten(2, {heads, -1}).transpose(1, 2); }

}  // namespace

torch::Tensor multi_head_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                                   int64_t heads, bool causal) {
  const auto result =
      at::scaled_dot_product_attention(split_heads(q, heads), split_heads(k, heads), split_heads(v, heads),
                                       /*attn_mask=*/{}, /*dropout_p=*/0.0, causal);
  return result.transpose(1, 2).flatten(2);
}

Attention::Attention(const AttentionOptions& options, const torch::TensorOptions& tensor_options)
    : heads_(options.heads), upcast_(options.upcast) {
  if (heads_ < 1 || options.channels % heads_ != 0)
    throw InvalidArgument(
        message("attention with ", heads_, " heads does not divide ", options.channels,
                " channels. Fix: choose attention_head_dim, which is the number of heads, as a divisor"));
  to_q_ = make_at<Linear>(*this, "to_q", options.channels, options.channels, options.qkv_bias, tensor_options);
  to_k_ = make_at<Linear>(*this, "to_k", options.context_channels, options.channels, options.qkv_bias, tensor_options);
  to_v_ = make_at<Linear>(*this, "to_v", options.context_channels, options.channels, options.qkv_bias, tensor_options);
  to_out_ = make_at<Linear>(*this, "to_out.0", options.channels, options.channels, true, tensor_options);
}

AttentionParameters Attention::parameters() const {
  SARA_CHECK(!to_q_->bias.defined());
  AttentionParameters parameters;
  parameters.to_q = to_q_->weight;
  parameters.to_k = to_k_->weight;
  parameters.to_v = to_v_->weight;
  parameters.to_out_weight = to_out_->weight;
  parameters.to_out_bias = to_out_->bias;
  parameters.heads = heads_;
  parameters.upcast = upcast_;
  return parameters;
}

torch::Tensor Attention::forward(const torch::Tensor& x, const torch::Tensor& context) const {
  auto q = to_q_->forward(x), k = to_k_->forward(context), v = to_v_->forward(context);
  if (upcast_) {
    q = q.to(torch::kFloat32);
    k = k.to(torch::kFloat32);
    v = v.to(torch::kFloat32);
  }
  return to_out_->forward(multi_head_attention(q, k, v, heads_).to(x.scalar_type()));
}

}  // namespace sara
