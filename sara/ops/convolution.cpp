// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/convolution.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/convolution_backward.h>

#include "sara/ops/matrix_product.h"

namespace sara {
namespace {

constexpr int64_t kFewPositions = 256;

bool is_matrix_product(const torch::Tensor& weight, int64_t batch, int64_t height, int64_t width) {
  return weight.is_cpu() && weight.size(2) > 1 && batch * height * width <= kFewPositions && weight.is_contiguous();
}

struct Geometry {
  int64_t batch, channels, height, width, out_height, out_width;
  ConvolutionShape shape;
  int64_t positions() const { return batch * out_height * out_width; }
};

// For each position of the result and each (channel, kh, kw): where in x it looks, or nothing outside of x. visit(place in a
// row of columns_of, row of positions, place in x).
template <class Visit>
void for_each_look(const Geometry& g, int64_t channel, int64_t batch, const Visit& visit) {
  const auto [kernel, stride, padding] = g.shape;
  for (int64_t kh = 0; kh < kernel; ++kh) {
    for (int64_t kw = 0; kw < kernel; ++kw) {
      const int64_t column = (channel * kernel + kh) * kernel + kw;
      for (int64_t h = 0; h < g.out_height; ++h) {
        const int64_t row = h * stride + kh - padding;
        for (int64_t w = 0; w < g.out_width; ++w) {
          const int64_t at = w * stride + kw - padding;
          const bool inside = row >= 0 && row < g.height && at >= 0 && at < g.width;
          visit(column, (batch * g.out_height + h) * g.out_width + w, inside ? ((batch * g.channels + channel) * g.height + row) * g.width + at : -1);
        }
      }
    }
  }
}

// [B, C, H, W] -> [B · H' · W', C · kernel²]
torch::Tensor columns_of(const torch::Tensor& x, const Geometry& g) {
  RECORD_FUNCTION("sara::columns_of", {});
  const torch::Tensor from = x.contiguous();
  const int64_t width = g.channels * g.shape.kernel * g.shape.kernel;
  const torch::Tensor columns = torch::empty({g.positions(), width}, from.options());
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, from.scalar_type(), "columns_of", [&] {
    auto* to = columns.data_ptr<scalar_t>();
    const auto* source = from.const_data_ptr<scalar_t>();
    at::parallel_for(0, g.channels, 16, [&](int64_t begin, int64_t end) {
      for (int64_t b = 0; b < g.batch; ++b)
        for (int64_t channel = begin; channel < end; ++channel)
          for_each_look(g, channel, b, [&](int64_t column, int64_t position, int64_t at) { to[position * width + column] = at >= 0 ? source[at] : scalar_t(0); });
    });
  });
  return columns;
}

// The reverse: adds up what each number of x met.
torch::Tensor sum_of_columns(const torch::Tensor& columns, const Geometry& g) {
  RECORD_FUNCTION("sara::sum_of_columns", {});
  const torch::Tensor out = torch::empty({g.batch, g.channels, g.height, g.width}, columns.options());
  const int64_t area = g.height * g.width, width = columns.size(1);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, columns.scalar_type(), "sum_of_columns", [&] {
    auto* to = out.data_ptr<scalar_t>();
    const auto* source = columns.const_data_ptr<scalar_t>();
    at::parallel_for(0, g.channels, 16, [&](int64_t begin, int64_t end) {
      std::vector<float> sums(area);  // of one plane
      for (int64_t b = 0; b < g.batch; ++b) {
        for (int64_t channel = begin; channel < end; ++channel) {
          const int64_t plane = (b * g.channels + channel) * area;
          std::fill(sums.begin(), sums.end(), 0.0f);
          for_each_look(g, channel, b, [&](int64_t column, int64_t position, int64_t at) {
            if (at >= 0) sums[at - plane] += static_cast<float>(source[position * width + column]);
          });
          for (int64_t i = 0; i < area; ++i) to[plane + i] = static_cast<scalar_t>(sums[i]);
        }
      }
    });
  });
  return out;
}

torch::Tensor as_matrix(const torch::Tensor& weight) { return weight.detach().view({weight.size(0), -1}); }

}  // namespace

torch::Tensor convolution(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, const ConvolutionShape& shape) {
  const auto extent = [&](int64_t in) { return (in + 2 * shape.padding - shape.kernel) / shape.stride + 1; };
  const Geometry g{x.size(0), x.size(1), x.size(2), x.size(3), extent(x.size(2)), extent(x.size(3)), shape};
  if (!is_matrix_product(weight, g.batch, g.out_height, g.out_width) || weight.scalar_type() != x.scalar_type())
    return at::conv2d(x, weight, bias, {shape.stride, shape.stride}, {shape.padding, shape.padding});
  const torch::Tensor product = product_with_transposed(columns_of(x, g), as_matrix(weight), bias.defined() ? bias.detach() : bias);  // [B · H' · W', out]
  return product.view({g.batch, g.out_height, g.out_width, -1}).permute({0, 3, 1, 2}).contiguous();
}

torch::Tensor convolution_input_gradient(const torch::Tensor& gradient, const torch::Tensor& weight, at::IntArrayRef input_sizes, const ConvolutionShape& shape) {
  if (!is_matrix_product(weight, gradient.size(0), gradient.size(2), gradient.size(3)) || weight.scalar_type() != gradient.scalar_type()) {
    const torch::Tensor input = torch::empty({1}, gradient.options()).expand(input_sizes);  // its sizes alone are looked at
    return std::get<0>(at::convolution_backward(gradient, input, weight, c10::nullopt, {shape.stride, shape.stride}, {shape.padding, shape.padding}, {1, 1}, false,
                                                {0, 0}, 1, {true, false, false}));
  }
  const Geometry g{input_sizes[0], input_sizes[1], input_sizes[2], input_sizes[3], gradient.size(2), gradient.size(3), shape};
  const torch::Tensor given = gradient.permute({0, 2, 3, 1}).reshape({-1, gradient.size(1)});  // [B · H' · W', out]
  return sum_of_columns(product_with(given, as_matrix(weight)), g);
}

}  // namespace sara
