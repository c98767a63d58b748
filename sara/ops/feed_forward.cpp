// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/feed_forward.h"

#include <torch/csrc/autograd/custom_function.h>

#include "sara/ops/geglu.h"
#include "sara/ops/layer_norm.h"
#include "sara/ops/matrix_product.h"
#include "sara/ops/weight_gradient.h"

namespace sara {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

torch::Tensor token_sum(TokenOperand& gradient) { return gradient.tokens().sum(0, false, torch::kFloat); }

struct FeedForwardFunction : torch::autograd::Function<FeedForwardFunction> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x, const torch::Tensor& norm_weight, const torch::Tensor& norm_bias,
                               const torch::Tensor& in_weight, const torch::Tensor& in_bias, const torch::Tensor& out_weight, const torch::Tensor& out_bias, double eps,
                               bool keep_inner) {
    const auto [normed, statistics] = layer_norm(x, norm_weight, norm_bias, eps);
    const torch::Tensor inner = product_with_transposed(normed, in_weight, in_bias);
    const torch::Tensor result = product_with_transposed(geglu(inner), out_weight, out_bias).add_(x);
    context->save_for_backward({x, norm_weight, norm_bias, in_weight, in_bias, out_weight, out_bias, statistics.mean, statistics.rstd, keep_inner ? inner : torch::Tensor()});
    return result;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &x = saved[0], &norm_weight = saved[1], &norm_bias = saved[2], &in_weight = saved[3], &in_bias = saved[4], &out_weight = saved[5], &out_bias = saved[6];
    const NormStatistics statistics{saved[7], saved[8]};
    torch::Tensor of_in_weight, of_in_bias, of_out_weight, of_out_bias, of_inner;
    const torch::Tensor gradient = gradients[0].contiguous(), normed = layer_norm_apply(x, statistics, norm_weight, norm_bias);
    {
      TokenOperand out_gradient(gradient);
      const torch::Tensor inner = saved[9].defined() ? saved[9] : product_with_transposed(normed, in_weight, in_bias);
      const GegluGradients gate = geglu_backward(product_with(gradient, out_weight), inner);
      of_inner = gate.halves;
      TokenOperand product(gate.product);
      of_out_weight = linear_weight_gradient(out_weight, out_gradient, product);
      if (is_trained(out_bias)) of_out_bias = small_gradient(out_bias, token_sum(out_gradient));
    }
    TokenOperand in_gradient(of_inner), in_input(normed);
    of_in_weight = linear_weight_gradient(in_weight, in_gradient, in_input);
    if (is_trained(in_bias)) of_in_bias = small_gradient(in_bias, token_sum(in_gradient));
    const NormGradients of = layer_norm_backward(product_with(of_inner, in_weight), x, statistics, norm_weight, gradient);
    return {of.input, small_gradient(norm_weight, of.weight), small_gradient(norm_bias, of.bias), of_in_weight, of_in_bias, of_out_weight, of_out_bias, {}, {}};
  }
};

}  // namespace

torch::Tensor feed_forward_block(const torch::Tensor& x, const FeedForwardParameters& p, MemoryLevel level) {
  return FeedForwardFunction::apply(x, p.norm_weight, p.norm_bias, p.in_weight, p.in_bias, p.out_weight, p.out_bias, p.eps, level < MemoryLevel::n1);
}

}  // namespace sara
