// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/capture.h"

#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include "sara/base/error.h"

namespace sara {
namespace {

using torch::autograd::PostAccumulateGradHook;

struct GatherHook : PostAccumulateGradHook {
  GatherHook(Values& values, size_t slot) : values(values), slot(slot) {}
  void operator()(const torch::Tensor& weight) override {
    torch::NoGradGuard no_grad;
    values.gather_gradient_(slot, weight.grad());
    weight.mutable_grad().reset();
  }
  Values& values;
  size_t slot;
};

}  // namespace

Capture::Capture(Values& values, const NamedTensors& scope) : values_(values) {
  for (const auto& [name, weight] : scope) {
    if (!weight.is_leaf())
      throw InvalidArgument(message("parameters: ", name, " is computed from other tensors. Fix: hand over the parameters themselves"));
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
  for (const auto& slot : values_.slots()) torch::autograd::impl::set_post_acc_grad_hooks(slot.weight, nullptr);
}

void Capture::refresh() {
  if (values_.active() == 0) return;
  for (const auto& slot : values_.slots()) slot.weight.set_requires_grad(slot.end > slot.begin);
}

}  // namespace sara
