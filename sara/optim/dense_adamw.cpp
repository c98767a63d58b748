// SPDX-License-Identifier: Apache-2.0
#include "sara/optim/dense_adamw.h"

#include <torch/types.h>
#include <torch/utils.h>

#include "sara/base/error.h"
#include "sara/optim/grad_clip.h"

namespace sara {

DenseAdamW::DenseAdamW(std::vector<torch::Tensor> weights, const DenseAdamWOptions& options)
    : weights_(std::move(weights)), options_(options) {
  for (const auto& weight : weights_) {
    SARA_CHECK(weight.is_leaf() && weight.requires_grad());
    const auto plain = weight.detach();
    values_.push_back(plain.scalar_type() == torch::kFloat ? plain : plain.to(torch::kFloat));
    exp_avg_.push_back(torch::zeros_like(values_.back()));
    exp_avg_sq_.push_back(torch::zeros_like(values_.back()));
  }
}

double DenseAdamW::grad_norm() const {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> gradients;
  for (const auto& weight : weights_)
    if (weight.grad().defined()) gradients.push_back(weight.grad());
  return global_norm(gradients);
}

void DenseAdamW::step(double lr, double grad_scale) {
  const torch::NoGradGuard no_grad;
  ++steps_;
  std::vector<at::Tensor> params, grads, first, second, steps;
  for (size_t i = 0; i < weights_.size(); ++i) {
    const auto& grad = weights_[i].grad();
    if (!grad.defined()) continue;
    params.push_back(values_[i]);
    auto full = grad.to(torch::kFloat, /*non_blocking=*/false, /*copy=*/false, values_[i].suggest_memory_format());
    grads.push_back(grad_scale == 1.0 ? full : full.mul(grad_scale));
    first.push_back(exp_avg_[i]);
    second.push_back(exp_avg_sq_[i]);
    steps.push_back(torch::full({}, static_cast<double>(steps_), values_[i].options()));
  }
  if (!params.empty()) {
    at::_fused_adamw_(params, grads, first, second, {}, steps, lr, options_.beta1, options_.beta2, options_.weight_decay,
                      options_.eps, /*amsgrad=*/false, /*maximize=*/false);
  }
  write_weights();
  clear_gradients();
}

void DenseAdamW::clear_gradients() {
  for (auto& weight : weights_) weight.mutable_grad().reset();
}

void DenseAdamW::write_weights() {
  for (size_t i = 0; i < weights_.size(); ++i) {
    auto plain = weights_[i].detach();
    if (!plain.is_same(values_[i]) && plain.data_ptr() != values_[i].data_ptr()) plain.copy_(values_[i]);
  }
}

void DenseAdamW::save(std::map<std::string, torch::Tensor>& out, const std::vector<std::string>& names) const {
  SARA_CHECK(names.size() == weights_.size());
  for (size_t i = 0; i < names.size(); ++i) {
    out[names[i] + ".value"] = values_[i];
    out[names[i] + ".exp_avg"] = exp_avg_[i];
    out[names[i] + ".exp_avg_sq"] = exp_avg_sq_[i];
  }
  out["steps"] = torch::tensor(steps_, torch::kLong);
}

void DenseAdamW::load(const std::map<std::string, torch::Tensor>& in, const std::vector<std::string>& names) {
  SARA_CHECK(names.size() == weights_.size());
  const torch::NoGradGuard no_grad;
  for (size_t i = 0; i < names.size(); ++i) {
    values_[i].copy_(in.at(names[i] + ".value"));
    exp_avg_[i].copy_(in.at(names[i] + ".exp_avg"));
    exp_avg_sq_[i].copy_(in.at(names[i] + ".exp_avg_sq"));
  }
  steps_ = in.at("steps").item<int64_t>();
  write_weights();
}

}  // namespace sara
