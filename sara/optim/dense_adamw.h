// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <map>
#include <string>
#include <vector>

namespace sara {

// AdamW (Loshchilov & Hutter 2019) over whole tensors, for full training and pre-training. The fp32 values are the
// master copy of weights stored in bf16 or fp16; for fp32 weights the weight is its own master.
struct DenseAdamWOptions {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 1e-2;
};

class DenseAdamW {
 public:
  // `weights`: leaf tensors that require gradients.
  DenseAdamW(std::vector<torch::Tensor> weights, const DenseAdamWOptions& options);

  // Global 2-norm over all gradients in `.grad`, accumulated in fp64; tensors without a gradient count as zero.
  double grad_norm() const;
  // One update with the gradients in `.grad` times `grad_scale`; then writes the weights and clears the gradients.
  void step(double lr, double grad_scale = 1.0);
  void clear_gradients();

  const std::vector<torch::Tensor>& values() const { return values_; }  // fp32, one a weight
  int64_t steps() const { return steps_; }

  // The state as tensors "<name>.value|exp_avg|exp_avg_sq" and "steps", and back (sizes must agree).
  void save(std::map<std::string, torch::Tensor>& out, const std::vector<std::string>& names) const;
  void load(const std::map<std::string, torch::Tensor>& in, const std::vector<std::string>& names);

 private:
  void write_weights();

  std::vector<torch::Tensor> weights_, values_, exp_avg_, exp_avg_sq_;
  DenseAdamWOptions options_;
  int64_t steps_ = 0;
};

}  // namespace sara
