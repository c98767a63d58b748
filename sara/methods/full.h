// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/methods/registry.h"
#include "sara/optim/dense_adamw.h"

namespace sara {

// Full fine-tuning: plain AdamW on every weight in scope. Weights stored in bf16 or fp16 are trained on fp32 master
// copies and rounded after each step. save() writes the changed weights in their storage dtype.
class FullMethod : public Method {
 public:
  FullMethod(const NamedTensors& trainable, const MethodOptions& options, int64_t total_steps);

  std::string name() const override { return "full"; }
  int64_t trained() const override;
  double default_lr() const override { return 1e-5; }  // the usual rate of full fine-tuning of Stable Diffusion
  std::vector<torch::Tensor> gradients() override;
  std::string fingerprint() const override;
  void scale_gradient_(double factor) override { gradient_scale_ *= factor; }  // fp16 gradients have no room for it before they are fp32
  StepReport step(int64_t t, double lr) override;
  void save(const std::string& path, const std::map<std::string, std::string>& metadata) const override;
  Json summary() const override;
  MethodState state() const override;
  void load_state_(const MethodState& state) override;

 private:
  FullMethod(NamedTensors scope, const MethodOptions& options);

  MethodOptions options_;
  NamedTensors scope_;
  DenseAdamW optimizer_;
  double gradient_scale_ = 1;  // of the gradient gathered
};

}  // namespace sara
