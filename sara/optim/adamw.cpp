// SPDX-License-Identifier: Apache-2.0
#include "sara/optim/adamw.h"

#include <chrono>
#include <cmath>

#include "sara/base/error.h"
#include "sara/ops/adamw_step.h"
#include "sara/optim/grad_clip.h"
#include "sara/optim/lr_rule.h"
#include "sara/rank/rank_loss.h"
#include "sara/sparse/scope.h"

namespace sara {
namespace {

Selection selection_for(const NamedTensors& parameters, AdamWOptions& options) {
  check_options(options);
  return select(in_scope(parameters, options.include(), options.exclude()),
                {options.threshold(), options.budget(), options.force()});
}

NamedTensors named_tensors(const torch::OrderedDict<std::string, torch::Tensor>& parameters) {
  NamedTensors out;
  for (const auto& item : parameters) out.emplace_back(item.key(), item.value());
  return out;
}

}  // namespace

AdamW::AdamW(const NamedTensors& parameters, AdamWOptions options)
    : AdamW(parameters, options, selection_for(parameters, options)) {}

AdamW::AdamW(const torch::OrderedDict<std::string, torch::Tensor>& parameters, AdamWOptions options)
    : AdamW(named_tensors(parameters), std::move(options)) {}

AdamW::AdamW(const NamedTensors& parameters, AdamWOptions options, Selection selection)
    : options_(std::move(options)),
      threshold_(selection.threshold),
      total_(selection.total),
      values_(selection.mask),
      capture_(values_, parameters) {}

double AdamW::lr() const { return options_.lr() ? *options_.lr() : lr_for_threshold(threshold_); }

StepReport AdamW::step(int64_t t, double lr) {
  torch::NoGradGuard no_grad;
  steps_ = t;
  StepReport report;
  const auto rank_start = std::chrono::steady_clock::now();
  report.rank_loss = add_rank_gradient_(values_, t, {options_.lambda_rank(), options_.rank_mode(), options_.rank_layers(),
                                                     options_.rank_reduction(), static_cast<uint64_t>(options_.seed())});
  report.rank_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - rank_start).count();
  report.grad_norm = global_norm(values_.gradient());
  report.skipped = !std::isfinite(report.grad_norm);
  if (!report.skipped) {
    const AdamWStep settings{lr, options_.adam_beta1(), options_.adam_beta2(), options_.eps(), options_.weight_decay(),
                             ++updates_, clip_factor(report.grad_norm, options_.max_grad_norm())};
    const torch::Tensor target = options_.decay_to() == "base" ? values_.base() : torch::Tensor();
    adamw_step_(values_.values(), values_.gradient(), values_.exp_avg(), values_.exp_avg_sq(), target, settings);
    values_.scatter_();
  }
  values_.clear_gradient_();
  report.reselected = t == options_.progressive_iter().value_or(0);
  if (report.reselected) {
    values_.reselect_(threshold_);
    capture_.refresh();
  }
  report.active = values_.active();
  return report;
}

}  // namespace sara
