// SPDX-License-Identifier: Apache-2.0
#include "sara/methods/full.h"

#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_fused_adamw.h>

#include <cmath>

#include "sara/base/error.h"
#include "sara/optim/grad_clip.h"
#include "sara/sparse/scope.h"
#include "sara/weights/tensor_file.h"

namespace sara {
namespace {

void refuse_sparse_options(MethodOptions options) {
  const AdamWOptions defaults;
  std::vector<std::string> useless;
  if (options.threshold()) useless.push_back("threshold");
  if (options.budget()) useless.push_back("budget");
  if (options.progressive_iter().value_or(0)) useless.push_back("progressive_iter");
  if (options.lambda_rank() != 0 && options.lambda_rank() != defaults.lambda_rank()) useless.push_back("lambda_rank");
  if (options.rank_mode() != defaults.rank_mode()) useless.push_back("rank_mode");
  if (options.rank_layers() != defaults.rank_layers()) useless.push_back("rank_layers");
  if (options.rank_reduction() != defaults.rank_reduction()) useless.push_back("rank_reduction");
  if (options.decay_to() != defaults.decay_to()) useless.push_back("decay_to");
  if (!useless.empty())
    throw InvalidArgument(message(first_five(useless), ": no effect with method full, which trains every weight. Fix: leave out, or use method sara"));
}

}  // namespace

FullMethod::FullMethod(const NamedTensors& trainable, const MethodOptions& options, int64_t) : options_(options) {
  check_options(options_);
  refuse_sparse_options(options_);
  scope_ = in_scope(trainable, options_.include(), options_.exclude());
  if (scope_.empty()) throw InvalidArgument("include, exclude: no trainable weight is left. Fix: widen the patterns");
  for (const auto& [name, weight] : trainable) weight.set_requires_grad(false);
  for (const auto& [name, weight] : scope_) {
    masters_.push_back(weight.detach().to(torch::kFloat));
    exp_avgs_.push_back(torch::zeros_like(masters_.back()));
    exp_avg_sqs_.push_back(torch::zeros_like(masters_.back()));
    weight.set_requires_grad(true);
  }
}

int64_t FullMethod::trained() const { return weight_count(scope_); }

StepReport FullMethod::step(int64_t, double lr) {
  torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> gradients;
  for (size_t i = 0; i < scope_.size(); ++i) {
    torch::Tensor& gradient = scope_[i].second.mutable_grad();
    // A weight that took no part in this loss has gradient 0, and decays, as one that took part with gradient 0 does.
    gradients.push_back(gradient.defined() ? gradient.to(torch::kFloat) : torch::zeros_like(masters_[i]));
    gradient.reset();
  }
  StepReport report;
  report.active = trained();
  report.grad_norm = global_norm(gradients);
  report.skipped = !std::isfinite(report.grad_norm);
  if (report.skipped) return report;

  if (const double factor = clip_factor(report.grad_norm, options_.max_grad_norm()); factor != 1) at::_foreach_mul_(gradients, factor);
  const std::vector<torch::Tensor> steps(scope_.size(), torch::tensor(static_cast<float>(++updates_), masters_[0].options()));
  at::_fused_adamw_(masters_, gradients, exp_avgs_, exp_avg_sqs_, {}, steps, lr, options_.adam_beta1(), options_.adam_beta2(),
                    options_.weight_decay(), options_.eps(), /*amsgrad=*/false, /*maximize=*/false);
  for (size_t i = 0; i < scope_.size(); ++i)
    if (scope_[i].second.scalar_type() != torch::kFloat) scope_[i].second.copy_(masters_[i]);
  return report;
}

void FullMethod::save(const std::string& path, const std::map<std::string, std::string>& metadata) const {
  TensorMap tensors;
  for (const auto& [name, weight] : scope_) tensors[name] = weight.detach();
  auto all = metadata;
  all["format"] = "pt";
  all["method"] = "full";
  save_tensors(path, tensors, all);
}

Json FullMethod::summary() const { return {{"method", "full"}, {"trained", trained()}, {"updates", updates_}}; }

}  // namespace sara
