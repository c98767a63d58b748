// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/methods/registry.h"
#include "sara/optim/adamw.h"
#include "sara/optim/values_ema.h"
#include "sara/weights/adapter.h"

namespace sara {

// What an optimizer has learned (its values, or averages of them), with its settings as metadata (weights/adapter.h). Checks
// that frozen weights have not moved. as_values: the trained weights themselves instead of differences; dtype: of the data.
Adapter trained_adapter(const AdamW& optimizer, const std::vector<Learned>& learned, bool as_values = false, at::ScalarType dtype = torch::kFloat);

// SaRA (Alg. 1): trains the weights below a threshold, with a rank loss and progressive reselection; see optim/adamw.h.
// save() writes an adapter of deltas (weights/adapter.h). Other selections make the ablations of Tab. 2 and the sparse baselines.
// With ema_decay, the deltas and the summary's spectrum are those of the averages (optim/values_ema.h).
class SaraMethod : public Method {
 public:
  SaraMethod(const NamedTensors& trainable, MethodOptions options, int64_t total_steps);

  std::string name() const override { return "sara"; }
  int64_t trained() const override { return optimizer_.values().selected(); }
  double default_lr() const override { return optimizer_.lr(); }
  bool has_gradient_in_place() const override { return true; }
  std::vector<torch::Tensor> gradients() override { return {optimizer_.gathered_gradient()}; }
  std::string fingerprint() const override { return optimizer_.values().fingerprint(); }
  void scale_gradient_(double factor) override { optimizer_.scale_gradient_(factor); }
  StepReport step(int64_t t, double lr) override;
  double rank_seconds() const override { return optimizer_.rank_seconds(); }
  void use_averages_() override;
  void save(const std::string& path, const std::map<std::string, std::string>& metadata) const override;
  Json summary() const override;
  MethodState state() const override;
  void load_state_(const MethodState& state) override;

  const AdamW& optimizer() const { return optimizer_; }

 private:
  std::vector<Learned> result() const { return ema_ ? ema_->learned() : optimizer_.values().learned(); }

  at::ScalarType adapter_dtype_;
  AdamW optimizer_;
  std::optional<ValuesEma> ema_;
};

}  // namespace sara
