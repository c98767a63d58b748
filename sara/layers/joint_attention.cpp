// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/joint_attention.h"

#include "sara/base/error.h"
#include "sara/base/message.h"
#include "sara/layers/register_path.h"

#include <torch/types.h>

namespace sara {

JointAttention::JointAttention(const JointAttentionOptions& options, const torch::TensorOptions& tensor_options)
    : heads_(options.heads) {
  const int64_t channels = options.channels;
  if (heads_ < 1 || channels % heads_ != 0)
    throw InvalidArgument(message("attention with ", heads_, " heads does not divide ", channels, " channels. Fix: correct config.json"));
  const auto linear = [&](const char* path) { return make_at<Linear>(*this, path, channels, channels, true, tensor_options); };
  const auto norm = [&](const char* path) { return options.qk_norm ? make_at<RmsNorm>(*this, path, channels / heads_, 1e-6, tensor_options) : nullptr; };
  own_ = {linear("to_q"), linear("to_k"), linear("to_v"), norm("norm_q"), norm("norm_k")};
  to_out_ = linear("to_out.0");
  if (!options.context) return;
  added_ = {linear("add_q_proj"), linear("add_k_proj"), linear("add_v_proj"), norm("norm_added_q"), norm("norm_added_k")};
  if (options.context_output) to_add_out_ = linear("to_add_out");
}

JointAttention::Heads JointAttention::heads_of(const Projections& projections, const torch::Tensor& tokens) const {
  const auto split = [&](const torch::Tensor& x) { return x.unflatten(2, {heads_, -1}).transpose(1, 2); };
  Heads heads{split(projections.q->forward(tokens)), split(projections.k->forward(tokens)), split(projections.v->forward(tokens))};
  if (projections.norm_q) {
    heads.q = projections.norm_q->forward(heads.q);
    heads.k = projections.norm_k->forward(heads.k);
  }
  return heads;
}

std::pair<torch::Tensor, torch::Tensor> JointAttention::forward(const torch::Tensor& x, const torch::Tensor& context) const {
  auto all = heads_of(own_, x);
  if (context.defined()) {
    const auto more = heads_of(added_, context);
    all = {torch::cat({all.q, more.q}, 2), torch::cat({all.k, more.k}, 2), torch::cat({all.v, more.v}, 2)};
  }
  const auto seen = at::scaled_dot_product_attention(all.q, all.k, all.v).transpose(1, 2).flatten(2);  // [B, T + S, C]
  const auto answer = to_out_->forward(seen.narrow(1, 0, x.size(1)));
  if (!to_add_out_) return {answer, {}};
  return {answer, to_add_out_->forward(seen.narrow(1, x.size(1), context.size(1)))};
}

}  // namespace sara
