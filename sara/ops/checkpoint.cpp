// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/checkpoint.h"

#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

namespace sara {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Block = std::function<torch::Tensor(const std::vector<torch::Tensor>&)>;

struct BlockHolder : torch::CustomClassHolder {
  explicit BlockHolder(Block block) : block(std::move(block)) {}
  Block block;
};

// `anchor` requires a gradient, so that autograd comes back here even when the inputs need none: the parameters do.
struct CheckpointFunction : torch::autograd::Function<CheckpointFunction> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& /*anchor*/, const Block& block, const std::vector<torch::Tensor>& inputs, at::TensorList /*edges*/) {
    context->save_for_backward(inputs);
    context->saved_data["block"] = c10::IValue::make_capsule(c10::make_intrusive<BlockHolder>(block));
    return block(inputs);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    variable_list inputs;
    for (const torch::Tensor& saved : context->get_saved_variables()) inputs.push_back(saved.detach().requires_grad_(saved.requires_grad()));
    const auto capsule = context->saved_data["block"].toCapsule();
    const Block& block = static_cast<BlockHolder&>(*capsule).block;
    {
      const at::AutoGradMode enabled(true);
      const torch::Tensor again = block(inputs);
      if (again.requires_grad()) torch::autograd::backward({again}, {gradients[0]});  // not where inputs and parameters are frozen
    }
    variable_list out{{}, {}, {}};
    for (const torch::Tensor& input : inputs) out.push_back(input.grad());
    return out;
  }
};

}  // namespace

torch::Tensor checkpoint(const Block& block, const std::vector<torch::Tensor>& inputs) {
  if (!at::GradMode::is_enabled()) return block(inputs);
  const torch::Tensor anchor = torch::zeros({0}).requires_grad_();
  return CheckpointFunction::apply(anchor, block, inputs, at::TensorList(inputs));
}

}  // namespace sara
