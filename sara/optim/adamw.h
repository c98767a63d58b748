// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/ordered_dict.h>

#include <memory>

#include "sara/ops/adamw_pass.h"
#include "sara/optim/adamw_options.h"
#include "sara/optim/step_report.h"
#include "sara/sparse/capture.h"
#include "sara/sparse/selection.h"
#include "sara/sparse/values.h"

namespace sara {
namespace cuda {
struct Kernels;
}

// Parameters that share a rate and a decay; what is not given is that of the options.
struct ParameterGroup {
  NamedTensors parameters;
  std::optional<double> lr = std::nullopt, weight_decay = std::nullopt;
};

// What one step uses for one group.
struct GroupStep {
  double lr, beta1, beta2, eps, weight_decay;
};

// All that is needed to go on bit for bit on a fresh optimizer with the same options over the same base. Learning rates
// are the caller's.
struct AdamWState {
  ValuesState values;
  int64_t steps = 0, updates = 0;  // taken; taken and not skipped
  double threshold = 0;
  std::map<std::string, std::string> base_hashes;
};

// SaRA in one line, for any torch::nn::Module: AdamW on the weights that do nothing yet.
//
//   sara::AdamW optimizer(model->named_parameters(), sara::AdamWOptions().threshold(2e-3));
//   ... loss.backward(); optimizer.step();
//
// Selects the mask, binds compact fp32 values to the model, captures gradients (see sparse/capture.h), and takes the
// steps of Alg. 1: rank gradient, clipping, AdamW on the active values, scatter into the dense weights, reselection.
// Parameters outside the mask are frozen (requires_grad = false) and never change. Each step uses up the gradient
// gathered since the last one. Selection, budget, rank loss and clipping are over all groups together.
// The object stays where it is made; the model must outlive it.
class AdamW {
 public:
  // Throws InvalidArgument for bad options, a name in two groups, and what select() and Capture throw.
  AdamW(const NamedTensors& parameters, AdamWOptions options);
  AdamW(const torch::OrderedDict<std::string, torch::Tensor>& parameters, AdamWOptions options);
  AdamW(const std::vector<ParameterGroup>& groups, AdamWOptions options);

  // Step t = 1, 2, ... at the rate given; a group with its own rate keeps its ratio to lr(). A gradient with NaN or
  // infinite entries changes nothing (report.skipped). Throws InvalidArgument, with nothing changed, when a weight was moved
  // or its hook replaced.
  StepReport step(int64_t t, double lr);
  StepReport step() { return step(steps_ + 1, lr()); }

  // The next step as torch's optimizers take it: the gradient stays until zero_grad(). One GroupStep a group.
  StepReport step_keeping_gradient(const std::vector<GroupStep>& groups);
  void zero_grad() { values_.clear_gradient_(); }
  void drop_values_() { values_.drop_values_(); }  // of fp32 weights, until someone asks for them (sparse/values.h)
  const torch::Tensor& gathered_gradient();  // [active] fp32, so far; to be averaged in place over processes before the step
  void after_backward(std::function<void()> then) { values_.after_backward(std::move(then)); }
  void scale_gradient_(double factor);  // of what was gathered so far: takes a loss scale out before the step

  double lr() const;  // the option, or lr_for_threshold(threshold())
  std::vector<GroupStep> group_steps(double lr) const;  // of the options and groups as given
  double threshold() const { return threshold_; }
  int64_t total() const { return total_; }  // weights in scope
  int64_t steps() const { return steps_; }
  double rank_seconds() const;  // of a step, measured now (rank/rank_loss.h)
  const Values& values() const { return values_; }
  const std::vector<torch::Tensor>& parameters() const { return values_.parameters(); }  // one compact leaf a group
  const AdamWOptions& options() const { return options_; }

  // load_state_() throws InvalidArgument, with nothing changed, for a state of another base, threshold or mask.
  AdamWState state() const { return {values_.state(), steps_, updates_, threshold_, values_.base_hashes()}; }
  void load_state_(const AdamWState& state);

 private:
  AdamW(const std::vector<ParameterGroup>& groups, const NamedTensors& parameters, AdamWOptions options, Selection selection);
  StepReport take_step(int64_t t, const std::vector<GroupStep>& groups, bool keep_gradient);
  void update_by_kernels(const cuda::Kernels& kernels, const std::vector<PassSlot>& slots, const std::vector<torch::Tensor>& gradients, const std::vector<GroupStep>& groups,
                         StepReport& report);
  std::vector<AdamWStep> pass_settings(const std::vector<GroupStep>& groups, double gradient_scale) const;

  AdamWOptions options_;
  std::vector<ParameterGroup> groups_;  // rates and decays alone
  double threshold_;
  int64_t total_;
  Values values_;
  Capture capture_;
  int64_t steps_ = 0, updates_ = 0;  // taken; taken and not skipped
};

}  // namespace sara
