// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/methods/registry.h"
#include "sara/optim/adamw.h"

namespace sara {

// SaRA (Alg. 1): trains the weights below a threshold, with a rank loss and progressive reselection; see optim/adamw.h.
// save() writes an adapter of fp32 deltas (weights/adapter.h).
class SaraMethod : public Method {
 public:
  SaraMethod(const NamedTensors& trainable, MethodOptions options, int64_t total_steps);

  std::string name() const override { return "sara"; }
  int64_t trained() const override { return optimizer_.values().selected(); }
  double default_lr() const override { return optimizer_.lr(); }
  StepReport step(int64_t t, double lr) override { return optimizer_.step(t, lr); }
  void save(const std::string& path, const std::map<std::string, std::string>& metadata) const override;
  Json summary() const override;

  const AdamW& optimizer() const { return optimizer_; }

 private:
  AdamW optimizer_;
};

}  // namespace sara
