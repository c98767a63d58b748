// SPDX-License-Identifier: Apache-2.0
#include "sara/methods/full.h"

#include <cmath>
#include <utility>

#include "sara/base/error.h"
#include "sara/base/hash.h"
#include "sara/optim/grad_clip.h"
#include "sara/sparse/scope.h"
#include "sara/sparse/values.h"
#include "sara/weights/tensor_file.h"

namespace sara {
namespace {

void refuse_sparse_options(MethodOptions options) {
  const AdamWOptions defaults;
  std::vector<std::string> useless;
  if (options.threshold()) useless.push_back("threshold");
  if (options.budget()) useless.push_back("budget");
  if (options.selection() != defaults.selection()) useless.push_back("selection");
  if (options.tuned) useless.push_back("tuned");
  if (options.adapter_dtype != MethodOptions().adapter_dtype) useless.push_back("adapter_dtype");
  if (options.progressive_iter().value_or(0)) useless.push_back("progressive_iter");
  if (options.lambda_rank() != 0 && options.lambda_rank() != defaults.lambda_rank()) useless.push_back("lambda_rank");
  if (options.rank_mode() != defaults.rank_mode()) useless.push_back("rank_mode");
  if (options.rank_layers() != defaults.rank_layers()) useless.push_back("rank_layers");
  if (options.rank_reduction() != defaults.rank_reduction()) useless.push_back("rank_reduction");
  if (options.decay_to() != defaults.decay_to()) useless.push_back("decay_to");
  if (options.moments() != defaults.moments()) useless.push_back("moments");
  if (options.ema_decay) useless.push_back("ema_decay");
  if (!useless.empty())
    throw InvalidArgument(message(first_five(useless), ": no effect with method full, which trains every weight as it is. Fix: leave out, or use method sara"));
}

// The tensors to train, made ready to receive gradients; all others are frozen.
NamedTensors checked_scope(const NamedTensors& trainable, MethodOptions options) {
  check_options(options);
  refuse_sparse_options(options);
  NamedTensors scope = in_scope(trainable, options.include(), options.exclude());
  if (scope.empty()) throw InvalidArgument("include, exclude: no trainable weight is left. Fix: widen the patterns");
  for (const auto& [name, weight] : trainable) weight.set_requires_grad(false);
  for (const auto& [name, weight] : scope) weight.set_requires_grad(true);
  return scope;
}

std::vector<std::string> names_of(const NamedTensors& named) {
  std::vector<std::string> out;
  for (const auto& [name, tensor] : named) out.push_back(name);
  return out;
}

std::vector<torch::Tensor> tensors_of(const NamedTensors& named) {
  std::vector<torch::Tensor> out;
  for (const auto& [name, tensor] : named) out.push_back(tensor);
  return out;
}

}  // namespace

FullMethod::FullMethod(const NamedTensors& trainable, const MethodOptions& options, int64_t)
    : FullMethod(checked_scope(trainable, options), options) {}

FullMethod::FullMethod(NamedTensors scope, const MethodOptions& options)
    : options_(options),
      scope_(std::move(scope)),
      optimizer_(tensors_of(scope_), {options_.adam_beta1(), options_.adam_beta2(), options_.eps(), options_.weight_decay()}) {}

int64_t FullMethod::trained() const { return weight_count(scope_); }

std::vector<torch::Tensor> FullMethod::gradients() {
  std::vector<torch::Tensor> out;
  for (const auto& [name, weight] : scope_)
    if (weight.grad().defined()) out.push_back(weight.grad());
  return out;
}

std::string FullMethod::fingerprint() const {
  Hasher hasher;
  for (const auto& [name, weight] : scope_) hasher.update(message(name, "=", tensor_hash(weight), "\n"));
  return hasher.hex();
}

StepReport FullMethod::step(int64_t, double lr) {
  StepReport report;
  report.active = trained();
  const double scale = std::exchange(gradient_scale_, 1.0);
  report.grad_norm = optimizer_.grad_norm() * scale;
  report.skipped = !std::isfinite(report.grad_norm);
  if (report.skipped)
    optimizer_.clear_gradients();
  else
    optimizer_.step(lr, clip_factor(report.grad_norm, options_.max_grad_norm()) * scale);
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

Json FullMethod::summary() const { return {{"method", "full"}, {"trained", trained()}, {"updates", optimizer_.steps()}}; }

MethodState FullMethod::state() const {
  MethodState state;
  optimizer_.save(state.tensors, names_of(scope_));
  state.facts["method"] = name();
  return state;
}

void FullMethod::load_state_(const MethodState& state) {
  if (state.text("method") != name())
    throw InvalidArgument(message("state: made by method ", escaped(state.text("method")), " (expected ", name(), "). Fix: use the method of the run"));
  const auto require = [&state](const std::string& name, at::IntArrayRef shape, at::ScalarType dtype) {
    const torch::Tensor& tensor = state.tensor(name);
    if (tensor.sizes() == shape && tensor.scalar_type() == dtype) return;
    throw InvalidArgument(message("state: ", escaped(name), " does not fit (expected ", toString(dtype), " of shape ", shape, ", got ",
                                  toString(tensor.scalar_type()), " of shape ", tensor.sizes(), "). Fix: use the model and the patterns of the run"));
  };
  require("steps", {}, torch::kLong);
  for (const auto& [name, weight] : scope_)
    for (const char* part : {".value", ".exp_avg", ".exp_avg_sq"}) require(name + part, weight.sizes(), torch::kFloat);
  if (state.tensors.size() != 3 * scope_.size() + 1)
    throw InvalidArgument(message("state: made for other weights (expected ", scope_.size(), " tensors, got ", (state.tensors.size() - 1) / 3,
                                  "). Fix: use the model and the patterns of the run"));
  optimizer_.load(state.tensors, names_of(scope_));
}

}  // namespace sara
