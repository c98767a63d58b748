// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/norm_conv2d.h"

#include <torch/csrc/autograd/custom_function.h>

#include "sara/ops/group_norm.h"
#include "sara/ops/map_layout.h"
#include "sara/ops/optional_tensor.h"
#include "sara/ops/weight_gradient.h"

namespace sara {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

void keep(AutogradContext* context, const ConvolutionShape& shape) {
  context->saved_data["shape"] = std::vector<int64_t>{shape.kernel, shape.stride, shape.padding};
}

ConvolutionShape kept_shape(AutogradContext* context) {
  const auto shape = context->saved_data["shape"].toIntVector();
  return {shape[0], shape[1], shape[2]};
}

torch::Tensor bias_gradient(const torch::Tensor& bias, const torch::Tensor& sums) { return is_trained(bias) ? small_gradient(bias, sums.sum(0)) : torch::Tensor(); }

struct Conv2dFunction : torch::autograd::Function<Conv2dFunction> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x, const torch::Tensor& weight, const OptionalTensor& given_bias, const ConvolutionShape& shape) {
    const torch::Tensor bias = or_undefined(given_bias);
    context->save_for_backward({is_trained(weight) ? x : torch::Tensor(), weight, bias});
    context->saved_data["input"] = x.requires_grad();
    context->saved_data["sizes"] = x.sizes().vec();
    keep(context, shape);
    return convolution(x, weight.to(x.scalar_type()), bias.defined() ? bias.to(x.scalar_type()) : bias, shape);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &x = saved[0], &weight = saved[1], &bias = saved[2], gradient = without_gaps(gradients[0]);
    const ConvolutionShape shape = kept_shape(context);
    torch::Tensor of_input;
    if (context->saved_data["input"].toBool()) of_input = convolution_input_gradient(gradient, weight.to(gradient.scalar_type()), context->saved_data["sizes"].toIntVector(), shape);
    const ConvolutionGradients of = convolution_gradients(weight, gradient, x, shape, is_trained(bias));
    return {of_input, of.weight, bias_gradient(bias, of.sums), {}};
  }
};

struct NormConv2dFunction : torch::autograd::Function<NormConv2dFunction> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x, const torch::Tensor& norm_weight, const torch::Tensor& norm_bias, const torch::Tensor& weight,
                               const torch::Tensor& bias, const OptionalTensor& given_shift, const OptionalTensor& given_residual, int64_t groups, double eps, bool silu,
                               const ConvolutionShape& shape) {
    const torch::Tensor shift = or_undefined(given_shift), residual = or_undefined(given_residual);
    const NormStatistics statistics = group_norm_statistics(x, groups, eps);
    const torch::Tensor result = convolution(group_norm_apply(x, statistics, norm_weight, norm_bias, silu), weight, bias, shape);
    if (shift.defined()) result.add_(shift.unsqueeze(2).unsqueeze(3));
    if (residual.defined()) result.add_(residual);
    context->save_for_backward({x, norm_weight, norm_bias, weight, bias, statistics.mean, statistics.rstd});
    context->saved_data["silu"] = silu;
    context->saved_data["shift"] = shift.defined() && shift.requires_grad();
    context->saved_data["residual"] = residual.defined() && residual.requires_grad();
    keep(context, shape);
    return result;
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &x = saved[0], &norm_weight = saved[1], &norm_bias = saved[2], &weight = saved[3], &bias = saved[4];
    const NormStatistics statistics{saved[5], saved[6]};
    const torch::Tensor gradient = without_gaps(gradients[0]);
    const ConvolutionShape shape = kept_shape(context);
    const bool silu = context->saved_data["silu"].toBool();
    const NormGradients of =
        group_norm_backward(convolution_input_gradient(gradient, weight, x.sizes(), shape), x, statistics, norm_weight, norm_bias, silu, is_trained(weight));
    const bool of_shift_wanted = context->saved_data["shift"].toBool();
    const auto [of_weight, sums] = convolution_gradients(weight, gradient, of.output, shape, of_shift_wanted || is_trained(bias));
    return {of.input,
            small_gradient(norm_weight, of.weight),
            small_gradient(norm_bias, of.bias),
            of_weight,
            bias_gradient(bias, sums),
            of_shift_wanted ? sums.to(gradient.scalar_type()) : torch::Tensor(),
            context->saved_data["residual"].toBool() ? gradients[0] : torch::Tensor(),
            {}, {}, {}, {}};
  }
};

}  // namespace

torch::Tensor conv2d(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, const ConvolutionShape& shape) {
  return Conv2dFunction::apply(x, weight, optional(bias), shape);
}

torch::Tensor norm_conv2d(const torch::Tensor& x, const GroupNormParameters& norm, const torch::Tensor& weight, const torch::Tensor& bias, const ConvolutionShape& shape,
                          const torch::Tensor& shift, const torch::Tensor& residual) {
  return NormConv2dFunction::apply(x, norm.weight, norm.bias, weight, bias, optional(shift), optional(residual), norm.groups, norm.eps, norm.silu, shape);
}

}  // namespace sara
