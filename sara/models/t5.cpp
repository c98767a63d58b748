// SPDX-License-Identifier: Apache-2.0
#include "sara/models/t5.h"

#include "sara/base/error.h"
#include "sara/base/message.h"
#include "sara/layers/activation.h"
#include "sara/layers/register_path.h"

#include <torch/types.h>

#include <cmath>

namespace sara {

torch::Tensor relative_buckets(const torch::Tensor& distances, int64_t buckets, int64_t max_distance) {
  const int64_t half = buckets / 2, exact = half / 2;
  const auto size = distances.abs();
  // fp32, as the published models were trained: the rounding decides in which bucket a boundary falls.
  const auto logarithmic = (size.to(torch::kFloat32) / exact).log() / std::log(double(max_distance) / double(exact)) * (half - exact);
  const auto far = (logarithmic.to(torch::kInt64) + exact).clamp_max(half - 1);
  return distances.gt(0).to(torch::kInt64) * half + torch::where(size.lt(exact), size, far);
}

T5Block::T5Block(const T5Config& config, const torch::TensorOptions& options) : heads_(config.num_heads) {
  const int64_t width = config.d_model, inner = config.num_heads * config.d_kv;
  const auto linear = [&](const char* path, int64_t in, int64_t out) { return make_at<Linear>(*this, path, in, out, false, options); };
  q_ = linear("layer.0.SelfAttention.q", width, inner);
  k_ = linear("layer.0.SelfAttention.k", width, inner);
  v_ = linear("layer.0.SelfAttention.v", width, inner);
  o_ = linear("layer.0.SelfAttention.o", inner, width);
  attention_norm_ = make_at<RmsNorm>(*this, "layer.0.layer_norm", width, config.layer_norm_epsilon, options);
  wi_0_ = linear("layer.1.DenseReluDense.wi_0", width, config.d_ff);
  wi_1_ = linear("layer.1.DenseReluDense.wi_1", width, config.d_ff);
  wo_ = linear("layer.1.DenseReluDense.wo", config.d_ff, width);
  feed_forward_norm_ = make_at<RmsNorm>(*this, "layer.1.layer_norm", width, config.layer_norm_epsilon, options);
}

torch::Tensor T5Block::forward(const torch::Tensor& x, const torch::Tensor& position_bias) const {
  const auto normed = attention_norm_->forward(x);
  const auto heads = [&](const Linear& projection) { return projection.forward(normed).unflatten(2, {heads_, -1}).transpose(1, 2); };
  const auto seen = at::scaled_dot_product_attention(heads(*q_), heads(*k_), heads(*v_), position_bias, /*dropout_p=*/0.0,
                                                     /*is_causal=*/false, /*scale=*/1.0);
  const auto hidden = x + o_->forward(seen.transpose(1, 2).flatten(2));
  const auto y = feed_forward_norm_->forward(hidden);
  return hidden + wo_->forward(activate(wi_0_->forward(y), Activation::gelu_tanh) * wi_1_->forward(y));
}

T5EncoderModel::T5EncoderModel(const T5Config& config, const torch::TensorOptions& options) : config_(config) {
  shared_ = make_at<Embedding>(*this, "shared", config.vocab_size, config.d_model, options);
  for (int64_t i = 0; i < config.num_layers; ++i) blocks_.push_back(make_at<T5Block>(*this, message("encoder.block.", i), config, options));
  // The first block owns the bias that all of them use.
  relative_attention_bias_ = make_at<Embedding>(*blocks_.front(), "layer.0.SelfAttention.relative_attention_bias",
                                                config.relative_attention_num_buckets, config.num_heads, options);
  final_layer_norm_ = make_at<RmsNorm>(*this, "encoder.final_layer_norm", config.d_model, config.layer_norm_epsilon, options);
}

torch::Tensor T5EncoderModel::position_bias(int64_t length) const {
  const auto places = torch::arange(length, torch::dtype(torch::kInt64).device(shared_->weight.device()));
  const auto buckets = relative_buckets(places.unsqueeze(0) - places.unsqueeze(1), config_.relative_attention_num_buckets,
                                        config_.relative_attention_max_distance);
  return relative_attention_bias_->forward(buckets).permute({2, 0, 1}).unsqueeze(0);
}

torch::Tensor T5EncoderModel::forward(const torch::Tensor& input_ids) const {
  if (input_ids.dim() != 2 || input_ids.size(1) < 1)
    throw InvalidArgument(message("T5EncoderModel: input_ids have the wrong shape (expected [B, T], got ", input_ids.sizes(), ")"));
  if (input_ids.numel() > 0 && (input_ids.min().item<int64_t>() < 0 || input_ids.max().item<int64_t>() >= config_.vocab_size))
    throw InvalidArgument(message("T5EncoderModel: a token id is outside the vocabulary (expected 0 to ", config_.vocab_size - 1,
                                  "). Fix: use the tokenizer that belongs to this model"));
  auto x = shared_->forward(input_ids);
  const auto bias = position_bias(input_ids.size(1));
  for (const auto& block : blocks_) x = block->forward(x, bias);
  return final_layer_norm_->forward(x);
}

}  // namespace sara
