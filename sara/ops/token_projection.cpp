// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/token_projection.h"

#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "sara/ops/group_norm.h"
#include "sara/ops/map_layout.h"
#include "sara/ops/matrix_product.h"
#include "sara/ops/turn.h"
#include "sara/ops/weight_gradient.h"

namespace sara {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

torch::Tensor matrix(const torch::Tensor& weight) { return weight.detach().flatten(1); }

// A dense gradient in the weight's own shape.
torch::Tensor shaped(const torch::Tensor& gradient, const torch::Tensor& weight) { return gradient.defined() ? gradient.view(weight.sizes()) : gradient; }

struct MapToTokensFunction : torch::autograd::Function<MapToTokensFunction> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x, const torch::Tensor& norm_weight, const torch::Tensor& norm_bias, const torch::Tensor& weight,
                               const torch::Tensor& bias, int64_t groups, double eps, bool silu) {
    const NormStatistics statistics = group_norm_statistics(x, groups, eps);
    context->save_for_backward({x, norm_weight, norm_bias, weight, bias, statistics.mean, statistics.rstd});
    context->saved_data["silu"] = silu;
    return product_with_transposed(tokens_of_map(group_norm_apply(x, statistics, norm_weight, norm_bias, silu)), matrix(weight), bias.detach());
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &x = saved[0], &norm_weight = saved[1], &norm_bias = saved[2], &weight = saved[3], &bias = saved[4];
    const NormStatistics statistics{saved[5], saved[6]};
    const bool silu = context->saved_data["silu"].toBool();
    const torch::Tensor of_norm = map_like(product_with(gradients[0], matrix(weight)), x);
    const NormGradients of = group_norm_backward(of_norm, x, statistics, norm_weight, norm_bias, silu, is_trained(weight));
    TokenOperand gradient(gradients[0]);
    std::optional<TokenOperand> input;
    if (is_trained(weight)) input = TokenOperand::of_map(of.output);
    const LinearGradients projection = linear_gradients({weight, gradient, is_trained(bias)}, input ? &*input : nullptr);
    return {of.input, small_gradient(norm_weight, of.weight), small_gradient(norm_bias, of.bias), shaped(projection.weight, weight), small_gradient(bias, projection.sums), {}, {}, {}};
  }
};

struct TokensToMapFunction : torch::autograd::Function<TokensToMapFunction> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& tokens, const torch::Tensor& weight, const torch::Tensor& bias, const torch::Tensor& residual) {
    context->save_for_backward({is_trained(weight) ? tokens : torch::Tensor(), weight, bias});
    context->saved_data["residual"] = residual.requires_grad();
    return map_like(product_with_transposed(tokens, matrix(weight), bias.detach()), residual).add_(residual);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &tokens = saved[0], &weight = saved[1], &bias = saved[2], gradient = without_gaps(gradients[0]);
    TokenOperand output = TokenOperand::of_map(gradient);
    std::optional<TokenOperand> input;
    if (tokens.defined()) input.emplace(tokens);
    const LinearGradients of = linear_gradients({weight, output, is_trained(bias)}, input ? &*input : nullptr);
    return {product_with(tokens_of_map(gradient), matrix(weight)), shaped(of.weight, weight), small_gradient(bias, of.sums), context->saved_data["residual"].toBool() ? gradients[0] : torch::Tensor()};
  }
};

}  // namespace

torch::Tensor map_to_tokens(const torch::Tensor& x, const GroupNormParameters& norm, const torch::Tensor& weight, const torch::Tensor& bias) {
  return MapToTokensFunction::apply(x, norm.weight, norm.bias, weight, bias, norm.groups, norm.eps, norm.silu);
}

torch::Tensor tokens_to_map(const torch::Tensor& tokens, const torch::Tensor& weight, const torch::Tensor& bias, const torch::Tensor& residual) {
  return TokensToMapFunction::apply(tokens, weight, bias, residual);
}

}  // namespace sara
