// SPDX-License-Identifier: Apache-2.0
#include "sara/cuda/sampled_product.cuh"

#include "sara/cuda/arguments.h"
#include "sara/cuda/functions.h"

namespace sara::cuda {
namespace {

const int32_t* positions(const torch::Tensor& indices, const torch::Tensor& out) {
  SARA_CHECK(indices.is_contiguous() && indices.numel() == out.numel());
  return indices.const_data_ptr<int32_t>();
}

}  // namespace

void sampled_linear(const torch::Tensor& out, const torch::Tensor& indices, const torch::Tensor& gradient, const torch::Tensor& input) {
  const torch::Tensor left = gradient.contiguous(), right = input.to(gradient.scalar_type()).contiguous();
  const int64_t tokens = left.size(0), rows = left.size(1), columns = right.size(1);
  SARA_CHECK(right.size(0) == tokens);
  for_number(left.scalar_type(), [&]<class T>() {
    const SampledLinear<T> kernel{numbers_of<float>(out, out.numel()), positions(indices, out), out.numel(), columns, numbers_of<T>(left, tokens * rows),
                                  numbers_of<T>(right, tokens * columns), rows, columns, tokens};
    queue(kernel, blocks_for(out.numel(), kernel.kEntries), out);
  });
}

void sampled_convolution(const torch::Tensor& out, const torch::Tensor& indices, const torch::Tensor& gradient, const torch::Tensor& input, const ConvolutionGeometry& geometry) {
  const torch::Tensor left = gradient.contiguous(), right = input.to(gradient.scalar_type()).contiguous();
  const auto extent = [](const torch::Tensor& tensor, int64_t d) { return static_cast<int>(tensor.size(d)); };
  SARA_CHECK(left.size(0) == right.size(0));
  for_number(left.scalar_type(), [&]<class T>() {
    const SampledConvolution<T> kernel{.out = numbers_of<float>(out, out.numel()),
                                       .indices = positions(indices, out),
                                       .count = out.numel(),
                                       .left = numbers_of<T>(left, left.numel()),
                                       .right = numbers_of<T>(right, right.numel()),
                                       .batch = left.size(0),
                                       .rows = left.size(1),
                                       .channels = right.size(1),
                                       .height = extent(right, 2),
                                       .width = extent(right, 3),
                                       .out_height = extent(left, 2),
                                       .out_width = extent(left, 3),
                                       .kernel = static_cast<int>(geometry.kernel),
                                       .stride = static_cast<int>(geometry.stride),
                                       .padding = static_cast<int>(geometry.padding)};
    queue(kernel, blocks_for(out.numel(), kernel.kEntries), out);
  });
}

}  // namespace sara::cuda
