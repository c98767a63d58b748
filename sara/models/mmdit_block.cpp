// SPDX-License-Identifier: Apache-2.0
#include "sara/models/mmdit_block.h"

#include "sara/layers/register_path.h"
#include "sara/ops/checkpoint.h"

#include <torch/types.h>

#include <vector>

namespace sara {
namespace {

// Places of a condition's vectors: those of the attention, of the feed-forward, and of the second attention.
enum Place : size_t { kShift, kScale, kGate, kShiftFf, kScaleFf, kGateFf, kShift2, kScale2, kGate2 };

torch::Tensor gated(const torch::Tensor& x, const torch::Tensor& gate, const torch::Tensor& answer) {
  return x + gate.unsqueeze(1) * answer;
}

torch::Tensor fed_forward(const torch::Tensor& x, const std::vector<torch::Tensor>& by, const GeluFeedForward& ff) {
  return gated(x, by[kGateFf], ff.forward(modulated(plain_layer_norm(x), by[kShiftFf], by[kScaleFf])));
}

}  // namespace

MmditBlock::MmditBlock(const MmditBlockOptions& options, const torch::TensorOptions& tensor_options) : last_(options.last) {
  const int64_t channels = options.channels;
  norm1_ = make_at<AdaptiveNorm>(*this, "norm1", channels, options.dual_attention ? 9 : 6, tensor_options);
  norm1_context_ = make_at<AdaptiveNorm>(*this, "norm1_context", channels, last_ ? 2 : 6, tensor_options);
  const JointAttentionOptions joint{.channels = channels, .heads = options.heads, .qk_norm = options.qk_norm, .context_output = !last_};
  attn_ = make_at<JointAttention>(*this, "attn", joint, tensor_options);
  if (options.dual_attention) {
    const JointAttentionOptions alone{.channels = channels, .heads = options.heads, .qk_norm = options.qk_norm, .context = false};
    attn2_ = make_at<JointAttention>(*this, "attn2", alone, tensor_options);
  }
  ff_ = make_at<GeluFeedForward>(*this, "ff", channels, tensor_options);
  if (!last_) ff_context_ = make_at<GeluFeedForward>(*this, "ff_context", channels, tensor_options);
}

MmditStreams MmditBlock::forward(const MmditStreams& streams, const torch::Tensor& activated_condition) const {
  if (level_ != MemoryLevel::checkpoint) return pass(streams, activated_condition);
  // One tensor comes out of a checkpoint: both streams one behind the other.
  const auto block = [this](const std::vector<torch::Tensor>& in) {
    const auto [picture, context] = pass({in[0], in[1]}, in[2]);
    return context.defined() ? torch::cat({picture, context}, 1) : picture;
  };
  const auto out = checkpoint(block, {streams.picture, streams.context, activated_condition});
  if (last_) return {out, {}};
  const int64_t tokens = streams.picture.size(1);
  return {out.narrow(1, 0, tokens), out.narrow(1, tokens, streams.context.size(1))};
}

MmditStreams MmditBlock::pass(const MmditStreams& streams, const torch::Tensor& activated_condition) const {
  const auto by = norm1_->forward(activated_condition), by_context = norm1_context_->forward(activated_condition);
  const auto normed = plain_layer_norm(streams.picture), normed_context = plain_layer_norm(streams.context);
  // The last block's context has no gates, and the scale comes first.
  const auto seen_context = last_ ? modulated(normed_context, by_context[1], by_context[0])
                                  : modulated(normed_context, by_context[kShift], by_context[kScale]);
  const auto [answer, context_answer] = attn_->forward(modulated(normed, by[kShift], by[kScale]), seen_context);

  auto picture = gated(streams.picture, by[kGate], answer);
  if (attn2_) picture = gated(picture, by[kGate2], attn2_->forward(modulated(normed, by[kShift2], by[kScale2])).first);
  picture = fed_forward(picture, by, *ff_);
  if (last_) return {picture, {}};
  return {picture, fed_forward(gated(streams.context, by_context[kGate], context_answer), by_context, *ff_context_)};
}

}  // namespace sara
