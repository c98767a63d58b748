// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/linear.h"
#include "sara/layers/rms_norm.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <utility>

namespace sara {

struct JointAttentionOptions {
  int64_t channels = 0;
  int64_t heads = 1;             // must divide channels
  bool qk_norm = false;          // RMS norms (eps 1e-6) of every head's queries and keys
  bool context = true;           // false: self-attention of x alone
  bool context_output = true;    // false: the context is seen but not answered (to_add_out is absent)
};

// Two streams, each with its own projections, attend to both together (Esser et al. 2024, section 4): with q, k, v of
// x and of the context joined along the sequence, the answer for x goes through to_out.0, the context's through
// to_add_out. All projections have biases.
class JointAttention : public torch::nn::Module {
 public:
  // Throws InvalidArgument unless heads divides channels.
  JointAttention(const JointAttentionOptions& options, const torch::TensorOptions& tensor_options);
  // x [B, T, C], context [B, S, C] or undefined -> answers of the same shapes; the second undefined when there is none.
  std::pair<torch::Tensor, torch::Tensor> forward(const torch::Tensor& x, const torch::Tensor& context = {}) const;

 private:
  struct Projections {
    std::shared_ptr<Linear> q, k, v;
    std::shared_ptr<RmsNorm> norm_q, norm_k;
  };
  struct Heads {
    torch::Tensor q, k, v;  // [B, heads, T, C / heads]
  };
  Heads heads_of(const Projections& projections, const torch::Tensor& tokens) const;

  int64_t heads_;
  Projections own_, added_;
  std::shared_ptr<Linear> to_out_, to_add_out_;
};

}  // namespace sara
