// SPDX-License-Identifier: Apache-2.0
#include "sara/optim/adamw.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "sara/base/error.h"
#include "sara/cuda/kernels.h"
#include "sara/ops/adamw_pass.h"
#include "sara/optim/grad_clip.h"
#include "sara/optim/lr_rule.h"
#include "sara/rank/rank_loss.h"
#include "sara/sparse/scope.h"

namespace sara {
namespace {

RankLossOptions rank_options(const AdamWOptions& options) {
  return {options.lambda_rank(), options.rank_mode(), options.rank_layers(), options.rank_reduction(), static_cast<uint64_t>(options.seed())};
}

// With another rule than `below` the threshold selects nothing: it is the bound of the reselection and sets the rate.
void check_bound(const AdamWOptions& options) {
  if (options.selection() == "below") return;
  if (options.progressive_iter().value_or(0) > 0 && !options.threshold())
    throw InvalidArgument(message("progressive_iter: selection ", options.selection(),
                                  " has no threshold to reselect by. Fix: give a threshold, or progressive_iter 0"));
  if (options.threshold() && options.progressive_iter().value_or(0) == 0 && options.lr())
    throw InvalidArgument(message("threshold: no effect with selection ", options.selection(),
                                  ", no reselection and a learning rate given. Fix: leave it out, or give progressive_iter"));
}

Selection selection_for(const std::vector<ParameterGroup>& groups, const NamedTensors& parameters, AdamWOptions& options) {
  check_options(options);
  check_bound(options);
  Selection selection = select(in_scope(parameters, options.include(), options.exclude()),
                               {options.threshold(), options.budget(), options.force(), options.selection(), static_cast<uint64_t>(options.seed()), options.tuned_weights()});
  std::map<std::string, size_t> group_of;
  for (size_t group = 0; group < groups.size(); ++group)
    for (const auto& [name, tensor] : groups[group].parameters) group_of[name] = group;
  for (MaskEntry& entry : selection.mask) entry.group = group_of.at(entry.name);
  return selection;
}

NamedTensors named_tensors(const torch::OrderedDict<std::string, torch::Tensor>& parameters) {
  NamedTensors out;
  for (const auto& item : parameters) out.emplace_back(item.key(), item.value());
  return out;
}

NamedTensors all_parameters(const std::vector<ParameterGroup>& groups) {
  NamedTensors out;
  for (const ParameterGroup& group : groups) out.insert(out.end(), group.parameters.begin(), group.parameters.end());
  return out;
}

std::vector<ParameterGroup> without_parameters(const std::vector<ParameterGroup>& groups) {
  std::vector<ParameterGroup> out;
  for (const ParameterGroup& group : groups) out.push_back({{}, group.lr, group.weight_decay});
  return out;
}

}  // namespace

AdamW::AdamW(const NamedTensors& parameters, AdamWOptions options)
    : AdamW(std::vector<ParameterGroup>{{parameters}}, std::move(options)) {}

AdamW::AdamW(const torch::OrderedDict<std::string, torch::Tensor>& parameters, AdamWOptions options)
    : AdamW(named_tensors(parameters), std::move(options)) {}

AdamW::AdamW(const std::vector<ParameterGroup>& groups, AdamWOptions options)
    : AdamW(groups, all_parameters(groups), options, selection_for(groups, all_parameters(groups), options)) {}

AdamW::AdamW(const std::vector<ParameterGroup>& groups, const NamedTensors& parameters, AdamWOptions options, Selection selection)
    : options_(std::move(options)),
      groups_(without_parameters(groups)),
      threshold_(selection.threshold),
      total_(selection.total),
      values_(selection.mask, groups.size(), options_.moments() == "8bit"),
      capture_(values_, parameters) {
  options_.tuned_weights({});  // the selection is made: a second model need not stay alive
}

double AdamW::lr() const { return options_.lr() ? *options_.lr() : lr_for_threshold(threshold_); }

std::vector<GroupStep> AdamW::group_steps(double lr) const {
  std::vector<GroupStep> out;
  for (const ParameterGroup& group : groups_) {
    const double rate = group.lr ? *group.lr * (lr / this->lr()) : lr;
    out.push_back({rate, options_.adam_beta1(), options_.adam_beta2(), options_.eps(), group.weight_decay.value_or(options_.weight_decay())});
  }
  return out;
}

const torch::Tensor& AdamW::gathered_gradient() {
  const torch::NoGradGuard no_grad;
  values_.adopt_gradients_();
  return values_.gradient();
}

void AdamW::scale_gradient_(double factor) {
  const torch::NoGradGuard no_grad;
  gathered_gradient().mul_(factor);
}

StepReport AdamW::step(int64_t t, double lr) { return take_step(t, group_steps(lr), /*keep_gradient=*/false); }

StepReport AdamW::step_keeping_gradient(const std::vector<GroupStep>& groups) {
  SARA_CHECK(groups.size() == groups_.size());
  return take_step(steps_ + 1, groups, /*keep_gradient=*/true);
}

double AdamW::rank_seconds() const {
  torch::NoGradGuard no_grad;
  return sara::rank_seconds(values_, rank_options(options_));
}

StepReport AdamW::take_step(int64_t t, const std::vector<GroupStep>& groups, bool keep_gradient) {
  torch::NoGradGuard no_grad;
  values_.require_in_place();
  capture_.require_hooks();
  values_.adopt_gradients_();
  steps_ = t;

  StepReport report;
  std::vector<PassSlot> slots;
  std::vector<torch::Tensor> gradients;  // of the slots
  for (size_t i = 0; i < values_.slots().size(); ++i) {
    slots.push_back({i});
    gradients.push_back(values_.gradient_of(i));
  }
  const auto add_term = [&](const RankTerm& term) {
    const auto start = std::chrono::steady_clock::now();
    if (keep_gradient) gradients[term.slot] = slots[term.slot].gradient = gradients[term.slot].clone();  // the term is no part of what stays
    report.rank_loss += add_rank_term_(values_, term, gradients[term.slot]);
    report.rank_seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  const auto terms = rank_terms(values_, t, rank_options(options_));
  // Without clipping a kept gradient never meets more than one matrix's term at a time: each is added where its matrix is updated.
  const bool one_by_one = keep_gradient && options_.max_grad_norm() == 0;
  if (!one_by_one) std::for_each(terms.begin(), terms.end(), add_term);

  if (const auto* kernels = cuda::kernels(values_.exp_avg().device()); kernels && !one_by_one) {
    update_by_kernels(*kernels, slots, gradients, groups, report);
  } else {
    std::vector<double> squares = squared_norms(gradients);
    const auto norm = [&squares] { return std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0)); };
    report.grad_norm = norm();
    report.skipped = !std::isfinite(report.grad_norm);
    if (!report.skipped) {
      ++updates_;
      const auto settings = pass_settings(groups, clip_factor(report.grad_norm, options_.max_grad_norm()));
      const bool to_base = options_.decay_to() == "base";
      if (one_by_one) {
        for (const RankTerm& term : terms) {
          add_term(term);
          squares[term.slot] = squared_norms(gradients[term.slot]).front();
          adamw_pass_(values_, {slots[term.slot]}, settings, to_base);
          gradients[term.slot] = slots[term.slot].gradient = torch::Tensor();
        }
        std::vector<bool> done(slots.size());
        for (const RankTerm& term : terms) done[term.slot] = true;
        std::erase_if(slots, [&done](const PassSlot& item) { return done[item.slot]; });
        report.grad_norm = norm();
      }
      adamw_pass_(values_, slots, settings, to_base);
    }
  }
  if (!keep_gradient) values_.clear_gradient_();
  report.reselected = t == options_.progressive_iter().value_or(0);
  if (report.reselected) {
    values_.reselect_(threshold_);
    capture_.refresh();
  }
  report.active = values_.active();
  return report;
}

// The norm stays on the device, where the update reads the clipping factor, and is asked for when all is queued. An update that a
// norm that is not finite kept from happening is not counted.
void AdamW::update_by_kernels(const cuda::Kernels& kernels, const std::vector<PassSlot>& slots, const std::vector<torch::Tensor>& gradients, const std::vector<GroupStep>& groups,
                              StepReport& report) {
  const bool in_buffer = std::none_of(slots.begin(), slots.end(), [](const PassSlot& item) { return item.gradient.defined(); });
  const torch::Tensor clip = kernels.norm_and_clip(in_buffer ? std::vector<torch::Tensor>{values_.gradient()} : gradients, options_.max_grad_norm());
  ++updates_;
  adamw_pass_(values_, slots, pass_settings(groups, 1), options_.decay_to() == "base", clip);
  report.grad_norm = clip[0].item<double>();
  report.skipped = !std::isfinite(report.grad_norm);
  if (report.skipped) --updates_;
}

std::vector<AdamWStep> AdamW::pass_settings(const std::vector<GroupStep>& groups, double gradient_scale) const {
  std::vector<AdamWStep> out;
  for (const GroupStep& group : groups) out.push_back({group.lr, group.beta1, group.beta2, group.eps, group.weight_decay, updates_, gradient_scale});
  return out;
}

void AdamW::load_state_(const AdamWState& state) {
  const auto refuse = [](const std::string& why) {
    throw InvalidArgument(message("state: ", why, ". Fix: load it into an optimizer made with the same options on the base model"));
  };
  for (const auto& [name, hash] : values_.base_hashes()) {
    const auto theirs = state.base_hashes.find(name);
    if (theirs == state.base_hashes.end()) refuse(message("made for other parameters (expected ", escaped(name), ", got none of that name)"));
    if (theirs->second != hash) refuse(message("made for another base (", escaped(name), " differs)"));
  }
  if (state.base_hashes.size() != values_.base_hashes().size())
    refuse(message("made for other parameters (expected ", values_.base_hashes().size(), " tensors, got ", state.base_hashes.size(), ")"));
  if (state.threshold != threshold_) refuse(message("made at another threshold (expected ", threshold_, ", got ", state.threshold, ")"));
  if (state.steps < state.updates || state.updates < 0) refuse(message("impossible step counts (", state.steps, " steps, ", state.updates, " updates)"));
  values_.load_state_(state.values);
  steps_ = state.steps;
  updates_ = state.updates;
  capture_.refresh();
}

}  // namespace sara
