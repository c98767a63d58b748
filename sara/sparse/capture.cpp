// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/capture.h"

#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/functions/accumulate_grad.h>
#include <torch/csrc/autograd/variable.h>

#include "sara/base/error.h"

namespace sara {
namespace {

using torch::autograd::PostAccumulateGradHook;

struct GatherHook : PostAccumulateGradHook {
  GatherHook(Values& values, size_t slot) : values(values), slot(slot) {}
  void operator()(const torch::Tensor& weight) override {
    if (!weight.grad().defined()) return;  // the layer has added its part itself
    torch::NoGradGuard no_grad;
    values.gather_gradient_(slot, weight.grad());
    weight.mutable_grad().reset();
  }
  Values& values;
  size_t slot;
};

PostAccumulateGradHook* hook_of(const torch::Tensor& weight) {
  namespace impl = torch::autograd::impl;
  return impl::get_autograd_meta(weight) ? impl::post_acc_grad_hooks(weight).get() : nullptr;
}

bool is_ours(const torch::Tensor& weight, const Values& values) {
  const auto* hook = dynamic_cast<GatherHook*>(hook_of(weight));
  return hook && &hook->values == &values;
}

}  // namespace

std::optional<GradientSink> gradient_sink(const torch::Tensor& weight) {
  const auto* hook = dynamic_cast<GatherHook*>(hook_of(weight));
  if (!hook && weight.requires_grad()) {  // saved through hooks, as torch's checkpoint does, a leaf comes back as another tensor with its accumulator
    const auto accumulator = torch::autograd::impl::try_get_grad_accumulator(weight);
    if (const auto* leaf = dynamic_cast<torch::autograd::AccumulateGrad*>(accumulator.get())) hook = dynamic_cast<GatherHook*>(hook_of(leaf->variable));
  }
  if (hook) return GradientSink{&hook->values, hook->slot};
  return std::nullopt;
}

Capture::Capture(Values& values, const NamedTensors& scope) : values_(values) {
  for (const auto& [name, weight] : scope) {
    if (!weight.is_leaf())
      throw InvalidArgument(message("parameters: ", name, " is computed from other tensors. Fix: hand over the parameters themselves"));
  }
  for (const auto& slot : values.slots()) {
    if (dynamic_cast<GatherHook*>(hook_of(slot.weight)))
      throw InvalidArgument(message("parameters: ", escaped(slot.name), " is trained by another sara optimizer. Fix: close that one first"));
    if (hook_of(slot.weight))
      throw InvalidArgument(message("parameters: ", escaped(slot.name), " has a post-accumulate gradient hook already. Fix: remove it first"));
  }
  for (const auto& [name, weight] : scope) {
    weight.set_requires_grad(false);
    weight.mutable_grad().reset();
  }
  for (size_t i = 0; i < values.slots().size(); ++i) {
    const torch::Tensor& weight = values.slots()[i].weight;
    weight.set_requires_grad(true);
    torch::autograd::impl::set_post_acc_grad_hooks(weight, std::make_unique<GatherHook>(values, i));
  }
}

Capture::~Capture() {
  for (const auto& slot : values_.slots())
    if (is_ours(slot.weight, values_)) torch::autograd::impl::set_post_acc_grad_hooks(slot.weight, nullptr);
}

void Capture::refresh() {
  if (values_.active() == 0) return;
  for (const auto& slot : values_.slots()) slot.weight.set_requires_grad(slot.end > slot.begin);
}

void Capture::require_hooks() const {
  for (const auto& slot : values_.slots())
    if (!is_ours(slot.weight, values_))
      throw InvalidArgument(message("parameters: ", escaped(slot.name), " lost its gradient hook to another one. Fix: set no post-accumulate hooks on trained weights"));
}

}  // namespace sara
