// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/upsample_conv2d.h"

#include <ATen/ops/upsample_nearest2d_backward.h>
#include <torch/csrc/autograd/custom_function.h>

#include "sara/ops/gradient_clock.h"
#include "sara/ops/map_layout.h"
#include "sara/ops/upsample_nearest.h"
#include "sara/ops/weight_gradient.h"

namespace sara {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct UpsampleConv2dFunction : torch::autograd::Function<UpsampleConv2dFunction> {
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, int64_t height, int64_t width,
                               const ConvolutionShape& shape) {
    context->save_for_backward({is_trained(weight) ? x : torch::Tensor(), weight, bias});
    context->saved_data["sizes"] = x.sizes().vec();
    context->saved_data["large"] = std::vector<int64_t>{height, width};
    context->saved_data["shape"] = std::vector<int64_t>{shape.kernel, shape.stride, shape.padding};
    return convolution(upsample_nearest(x, height, width), weight, bias, shape);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &x = saved[0], &weight = saved[1], &bias = saved[2], gradient = without_gaps(gradients[0]);
    const auto kept = context->saved_data["shape"].toIntVector(), sizes = context->saved_data["sizes"].toIntVector(), large = context->saved_data["large"].toIntVector();
    const ConvolutionShape shape{kept[0], kept[1], kept[2]};
    torch::Tensor of_weight, of_bias;
    {
      const GradientClock clock;
      const ConvolutionGradients of = convolution_gradients(weight, gradient, x.defined() ? upsample_nearest(x, large[0], large[1]) : x, shape, is_trained(bias));
      of_weight = of.weight;
      if (is_trained(bias)) of_bias = small_gradient(bias, of.sums.sum(0));
    }
    const torch::Tensor of_large = convolution_input_gradient(gradient, weight, {sizes[0], sizes[1], large[0], large[1]}, shape);
    return {at::upsample_nearest2d_backward(of_large, large, sizes), of_weight, of_bias, {}, {}, {}};
  }
};

}  // namespace

torch::Tensor upsample_conv2d(const torch::Tensor& x, int64_t height, int64_t width, const torch::Tensor& weight, const torch::Tensor& bias, const ConvolutionShape& shape) {
  return UpsampleConv2dFunction::apply(x, weight, bias, height, width, shape);
}

}  // namespace sara
