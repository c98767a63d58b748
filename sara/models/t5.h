// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/layers/embedding.h"
#include "sara/layers/linear.h"
#include "sara/layers/rms_norm.h"
#include "sara/models/t5_config.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <vector>

namespace sara {

// Which learned bias two tokens share, by the distance key - query. Half of the buckets are for keys behind the query; in
// each half the first half holds one distance each, the others grow logarithmically up to max_distance, which also
// stands for all beyond. distances: int64 of any shape -> buckets of that shape.
torch::Tensor relative_buckets(const torch::Tensor& distances, int64_t buckets, int64_t max_distance);

// x += o(attention(q, k, v of norm(x), with the position bias, unscaled)); x += wo(gelu(wi_0(y)) · wi_1(y)), y = norm(x).
// RMS norms, no biases anywhere.
class T5Block : public torch::nn::Module {
 public:
  T5Block(const T5Config& config, const torch::TensorOptions& options);
  // x [B, T, d_model], position_bias [1, heads, T, T] -> [B, T, d_model]
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& position_bias) const;

 private:
  int64_t heads_;
  std::shared_ptr<RmsNorm> attention_norm_, feed_forward_norm_;
  std::shared_ptr<Linear> q_, k_, v_, o_, wi_0_, wi_1_, wo_;
};

// The third text encoder of Stable Diffusion 3: a T5 v1.1 encoder. Parameter names equal those of the published
// checkpoints, the embedding under its name `shared.weight`. The memory of the parameters is not initialised.
class T5EncoderModel : public torch::nn::Module {
 public:
  explicit T5EncoderModel(const T5Config& config, const torch::TensorOptions& options = {});

  // input_ids [B, T] int64 -> the last hidden state after the final norm, [B, T, d_model]. No padding mask, as the
  // published pipeline. Throws InvalidArgument when an id is outside the vocabulary.
  torch::Tensor forward(const torch::Tensor& input_ids) const;

  const T5Config& config() const { return config_; }

 private:
  torch::Tensor position_bias(int64_t length) const;

  T5Config config_;
  std::shared_ptr<Embedding> shared_, relative_attention_bias_;
  std::vector<std::shared_ptr<T5Block>> blocks_;
  std::shared_ptr<RmsNorm> final_layer_norm_;
};

}  // namespace sara
