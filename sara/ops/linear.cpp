// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/linear.h"

#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "sara/ops/matrix_product.h"
#include "sara/ops/optional_tensor.h"
#include "sara/ops/weight_gradient.h"

namespace sara {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A parameter in the type of what meets it: under autocast that is a smaller one than the parameter's.
torch::Tensor like(const torch::Tensor& x, const torch::Tensor& parameter) { return parameter.defined() ? parameter.detach().to(x.scalar_type()) : parameter; }

struct LinearFunction : torch::autograd::Function<LinearFunction> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x, const torch::Tensor& weight, const OptionalTensor& given_bias) {
    const torch::Tensor bias = or_undefined(given_bias);
    context->save_for_backward({is_trained(weight) ? x : torch::Tensor(), weight, bias});
    context->saved_data["input"] = x.requires_grad();
    return product_with_transposed(x, like(x, weight), like(x, bias));
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &x = saved[0], &weight = saved[1], &bias = saved[2];
    TokenOperand gradient(gradients[0]);
    torch::Tensor of_input;
    if (context->saved_data["input"].toBool()) of_input = product_with(gradients[0], like(gradients[0], weight));
    std::optional<TokenOperand> input;
    if (x.defined()) input.emplace(x);
    const LinearGradients of = linear_gradients({weight, gradient, is_trained(bias)}, input ? &*input : nullptr);
    return {of_input, of.weight, small_gradient(bias, of.sums)};
  }
};

}  // namespace

torch::Tensor linear(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias) { return LinearFunction::apply(x, weight, optional(bias)); }

}  // namespace sara
