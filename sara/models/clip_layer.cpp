// SPDX-License-Identifier: Apache-2.0
#include "sara/models/clip_layer.h"

#include "sara/layers/attention.h"
#include "sara/layers/register_path.h"

#include <torch/types.h>

namespace sara {

ClipLayer::ClipLayer(const ClipLayerShape& shape, const torch::TensorOptions& options) : shape_(shape) {
  const int64_t width = shape.hidden_size, inner = shape.intermediate_size;
  const double eps = shape.layer_norm_eps;
  k_proj_ = make_at<Linear>(*this, "self_attn.k_proj", width, width, true, options);
  v_proj_ = make_at<Linear>(*this, "self_attn.v_proj", width, width, true, options);
  q_proj_ = make_at<Linear>(*this, "self_attn.q_proj", width, width, true, options);
  out_proj_ = make_at<Linear>(*this, "self_attn.out_proj", width, width, true, options);
  norm1_ = make_at<LayerNorm>(*this, "layer_norm1", width, eps, options);
  fc1_ = make_at<Linear>(*this, "mlp.fc1", width, inner, true, options);
  fc2_ = make_at<Linear>(*this, "mlp.fc2", inner, width, true, options);
  norm2_ = make_at<LayerNorm>(*this, "layer_norm2", width, eps, options);
}

torch::Tensor ClipLayer::forward(const torch::Tensor& x) const {
  const auto normed = norm1_->forward(x);
  const auto seen = multi_head_attention(q_proj_->forward(normed), k_proj_->forward(normed), v_proj_->forward(normed),
                                         shape_.num_attention_heads, shape_.causal);
  const auto hidden = x + out_proj_->forward(seen);
  return hidden + fc2_->forward(activate(fc1_->forward(norm2_->forward(hidden)), shape_.activation));
}

}  // namespace sara
