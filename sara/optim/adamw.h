// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/ordered_dict.h>

#include <memory>

#include "sara/optim/adamw_options.h"
#include "sara/optim/step_report.h"
#include "sara/sparse/capture.h"
#include "sara/sparse/selection.h"
#include "sara/sparse/values.h"

namespace sara {

// SaRA in one line, for any torch::nn::Module: AdamW on the weights that do nothing yet.
//
//   sara::AdamW optimizer(model->named_parameters(), sara::AdamWOptions().threshold(2e-3));
//   ... loss.backward(); optimizer.step();
//
// Selects the mask, binds compact fp32 values to the model, captures gradients (see sparse/capture.h), and takes the
// steps of Alg. 1: rank gradient, clipping, AdamW on the active values, scatter into the dense weights, reselection.
// Parameters outside the mask are frozen (requires_grad = false) and never change. Each step uses up the gradient
// gathered since the last one. The object stays where it is made; the model must outlive it.
class AdamW {
 public:
  // Throws InvalidArgument for bad options and what select() throws.
  AdamW(const NamedTensors& parameters, AdamWOptions options);
  AdamW(const torch::OrderedDict<std::string, torch::Tensor>& parameters, AdamWOptions options);

  // Step t = 1, 2, ... at the rate given. A gradient with NaN or infinite entries changes nothing (report.skipped).
  StepReport step(int64_t t, double lr);
  StepReport step() { return step(steps_ + 1, lr()); }
  void zero_grad() { values_.clear_gradient_(); }

  double lr() const;  // the option, or lr_for_threshold(threshold())
  double threshold() const { return threshold_; }
  int64_t total() const { return total_; }  // weights in scope
  const Values& values() const { return values_; }
  const AdamWOptions& options() const { return options_; }

 private:
  AdamW(const NamedTensors& parameters, AdamWOptions options, Selection selection);

  AdamWOptions options_;
  double threshold_;
  int64_t total_;
  Values values_;
  Capture capture_;
  int64_t steps_ = 0, updates_ = 0;  // taken; taken and not skipped
};

}  // namespace sara
