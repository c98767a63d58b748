// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/convolution.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <ATen/ops/conv2d.h>
#include <ATen/ops/convolution_backward.h>
#include <ATen/ops/stack.h>

#include "sara/ops/map_layout.h"
#include "sara/ops/matrix_product.h"
#include "sara/ops/processor.h"
#include "sara/ops/turn.h"
#include "sara/ops/winograd.h"

namespace sara {
namespace {

constexpr int64_t kFewPositions = 256;

struct Geometry {
  int64_t batch, channels, height, width, out_height, out_width;
  ConvolutionShape shape;
  int64_t positions() const { return batch * out_height * out_width; }
};

// One plane of x with its padding around it, so that every look of the kernel lies inside.
struct PaddedPlane {
  explicit PaddedPlane(const Geometry& g) : padding(g.shape.padding), width(g.width + 2 * padding), numbers((g.height + 2 * padding) * width) {}
  int64_t padding, width;
  std::vector<float> numbers;
};

template <class Number>
void fill(PaddedPlane& plane, const Number* from, const Geometry& g) {
  for (int64_t h = 0; h < g.height; ++h)
    for (int64_t w = 0; w < g.width; ++w) plane.numbers[(h + plane.padding) * plane.width + w + plane.padding] = static_cast<float>(from[h * g.width + w]);
}

template <class Number>
void empty_into(Number* to, PaddedPlane& plane, const Geometry& g) {
  for (int64_t h = 0; h < g.height; ++h)
    for (int64_t w = 0; w < g.width; ++w) to[h * g.width + w] = static_cast<Number>(plane.numbers[(h + plane.padding) * plane.width + w + plane.padding]);
  std::fill(plane.numbers.begin(), plane.numbers.end(), 0.0f);
}

// visit(what a position of the result looks at, its kernel² numbers in a row of columns_of)
template <class Number, class Visit>
void for_each_position(PaddedPlane& plane, Number* columns, const Geometry& g, const Visit& visit) {
  const int64_t row = g.channels * g.shape.kernel * g.shape.kernel;
  for (int64_t h = 0; h < g.out_height; ++h)
    for (int64_t w = 0; w < g.out_width; ++w, columns += row) visit(plane.numbers.data() + h * g.shape.stride * plane.width + w * g.shape.stride, columns);
}

// Calls work(first channel, end, plane) for parts of the channels, a plane of its own each.
template <class Work>
void for_channels(const Geometry& g, const Work& work) {
  at::parallel_for(0, g.channels, 16, [&](int64_t begin, int64_t end) {
    PaddedPlane plane(g);
    work(begin, end, plane);
  });
}

// [B, C, H, W] -> [B · H' · W', C · kernel²]
torch::Tensor columns_of(const torch::Tensor& x, const Geometry& g) {
  RECORD_FUNCTION("sara::columns_of", {});
  const torch::Tensor from = x.contiguous();
  const int64_t kernel = g.shape.kernel, width = g.channels * kernel * kernel, area = g.height * g.width;
  const torch::Tensor columns = torch::empty({g.positions(), width}, from.options());
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, from.scalar_type(), "columns_of", [&] {
    auto* to = columns.data_ptr<scalar_t>();
    const auto* source = from.const_data_ptr<scalar_t>();
    for_channels(g, [&](int64_t begin, int64_t end, PaddedPlane& plane) {
      for (int64_t b = 0; b < g.batch; ++b)
        for (int64_t channel = begin; channel < end; ++channel) {
          fill(plane, source + (b * g.channels + channel) * area, g);
          for_each_position(plane, to + b * g.out_height * g.out_width * width + channel * kernel * kernel, g, [&](const float* look, scalar_t* out) {
            for (int64_t kh = 0; kh < kernel; ++kh)
              for (int64_t kw = 0; kw < kernel; ++kw) out[kh * kernel + kw] = static_cast<scalar_t>(look[kh * plane.width + kw]);
          });
        }
    });
  });
  return columns;
}

// The reverse: adds up what each number of x met.
torch::Tensor sum_of_columns(const torch::Tensor& columns, const Geometry& g) {
  RECORD_FUNCTION("sara::sum_of_columns", {});
  const torch::Tensor out = torch::empty({g.batch, g.channels, g.height, g.width}, columns.options());
  const int64_t kernel = g.shape.kernel, width = columns.size(1), area = g.height * g.width;
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, columns.scalar_type(), "sum_of_columns", [&] {
    auto* to = out.data_ptr<scalar_t>();
    const auto* source = columns.const_data_ptr<scalar_t>();
    for_channels(g, [&](int64_t begin, int64_t end, PaddedPlane& plane) {
      for (int64_t b = 0; b < g.batch; ++b)
        for (int64_t channel = begin; channel < end; ++channel) {
          for_each_position(plane, source + b * g.out_height * g.out_width * width + channel * kernel * kernel, g, [&](float* look, const scalar_t* in) {
            for (int64_t kh = 0; kh < kernel; ++kh)
              for (int64_t kw = 0; kw < kernel; ++kw) look[kh * plane.width + kw] += static_cast<float>(in[kh * kernel + kw]);
          });
          empty_into(to + (b * g.channels + channel) * area, plane, g);
        }
    });
  });
  return out;
}

// What does not fit together is torch's, which says so. `summed`: the weight's dimension that meets the channels of x.
bool fits(const torch::Tensor& x, const torch::Tensor& weight, int64_t summed) {
  return x.is_cpu() && weight.is_cpu() && x.numel() > 0 && x.scalar_type() == weight.scalar_type() && x.size(1) == weight.size(summed);
}

bool is_matrix_product(const torch::Tensor& x, const torch::Tensor& weight, int64_t summed, int64_t positions) {
  return weight.size(2) > 1 && positions <= kFewPositions && weight.is_contiguous() && fits(x, weight, summed);
}

bool is_winograds(const torch::Tensor& x, const torch::Tensor& weight, int64_t summed, const ConvolutionShape& shape) {
  return shape.stride == 1 && shape.padding == 1 && fits(x, weight, summed) && winograd_pays(weight, x.size(0), x.size(2), x.size(3));
}

// A convolution of one position is a product with each picture's planes as they lie. In fp32 torch's is as fast.
bool is_planes_product(const torch::Tensor& x, const torch::Tensor& weight, int64_t summed, const ConvolutionShape& shape) {
  static const bool pays = has_avx512_bf16() && has_slow_bf16();
  return pays && shape.kernel == 1 && shape.stride == 1 && shape.padding == 0 && x.scalar_type() == torch::kBFloat16 && fits(x, weight, summed);
}

// matrix [N, C], planes [B, C, H, W] -> [B, N, H, W]
torch::Tensor planes_product(const torch::Tensor& matrix, const torch::Tensor& planes) {
  const torch::Tensor from = planes.detach().contiguous().flatten(2);
  std::vector<torch::Tensor> products;
  for (int64_t b = 0; b < from.size(0); ++b) products.push_back(product_with(matrix, from[b]));
  return at::stack(products).view({planes.size(0), matrix.size(0), planes.size(2), planes.size(3)});
}

// In bf16 on processors with tile registers torch's convolution works with the channels of a position together, as they are in tokens, and lays maps out
// for that and back one number after the other; blocks are turned in registers here (bf16, four pictures of 32 x 32: 960 -> 320 channels, kernel 1, 7.3 -> 4.6 ms and
// backwards 14.0 -> 7.3; 320 -> 320, kernel 3, 12.6 -> 11.2 and 11.8 -> 10.8; of 16 x 16, kernel 3, no less).
bool goes_by_tokens(const torch::Tensor& x, const torch::Tensor& weight, int64_t summed) {
  return has_tiles() && x.scalar_type() == torch::kBFloat16 && fits(x, weight, summed);
}

bool is_tokens_product(const torch::Tensor& x, const torch::Tensor& weight, int64_t summed, const ConvolutionShape& shape) {
  return shape.kernel == 1 && shape.stride == 1 && shape.padding == 0 && goes_by_tokens(x, weight, summed);
}

bool has_channels_together(const torch::Tensor& x, const torch::Tensor& weight, int64_t summed) {
  constexpr int64_t kManyPositions = 1024;  // of a picture
  return x.size(2) * x.size(3) >= kManyPositions && goes_by_tokens(x, weight, summed);
}

torch::Tensor channels_together(const torch::Tensor& map) { return tokens_of_map(map).unflatten(1, {map.size(2), map.size(3)}).permute({0, 3, 1, 2}); }
torch::Tensor channels_apart(const torch::Tensor& map) { return map_of_tokens(map.permute({0, 2, 3, 1}).flatten(1, 2), map.sizes()); }

torch::Tensor as_matrix(const torch::Tensor& weight) { return weight.detach().view({weight.size(0), -1}); }

}  // namespace

torch::Tensor convolution(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias, const ConvolutionShape& shape) {
  const auto extent = [&](int64_t in) { return (in + 2 * shape.padding - shape.kernel) / shape.stride + 1; };
  const Geometry g{x.size(0), x.size(1), x.size(2), x.size(3), extent(x.size(2)), extent(x.size(3)), shape};
  if (is_winograds(x, weight, 1, shape)) return winograd_convolution(x, weight.detach(), bias.defined() ? bias.detach() : bias);
  if (is_planes_product(x, weight, 1, shape)) {
    const torch::Tensor product = planes_product(as_matrix(weight), x);
    return bias.defined() ? product.add_(bias.detach().view({-1, 1, 1})) : product;
  }
  if (is_tokens_product(x, weight, 1, shape))
    return map_of_tokens(product_with_transposed(tokens_of_map(x), as_matrix(weight), bias.defined() ? bias.detach() : bias), {g.batch, weight.size(0), g.height, g.width});
  if (!is_matrix_product(x, weight, 1, g.positions())) {
    const auto of = [&](const torch::Tensor& input) { return at::conv2d(input, weight, bias, {shape.stride, shape.stride}, {shape.padding, shape.padding}); };
    return has_channels_together(x, weight, 1) ? channels_apart(of(channels_together(x))) : of(x);
  }
  const torch::Tensor product = product_with_transposed(columns_of(x, g), as_matrix(weight), bias.defined() ? bias.detach() : bias);  // [B · H' · W', out]
  return map_of_tokens(product.view({g.batch, g.out_height * g.out_width, -1}), {g.batch, product.size(1), g.out_height, g.out_width});
}

torch::Tensor convolution_input_gradient(const torch::Tensor& gradient, const torch::Tensor& weight, at::IntArrayRef input_sizes, const ConvolutionShape& shape) {
  if (is_winograds(gradient, weight, 0, shape)) return winograd_input_gradient(gradient, weight.detach());
  if (is_planes_product(gradient, weight, 0, shape)) return planes_product(as_matrix(weight).t().contiguous(), gradient);
  if (is_tokens_product(gradient, weight, 0, shape)) return map_of_tokens(product_with(tokens_of_map(gradient), as_matrix(weight)), input_sizes);
  if (!is_matrix_product(gradient, weight, 0, gradient.size(0) * gradient.size(2) * gradient.size(3))) {
    const auto of = [&](const torch::Tensor& given, at::MemoryFormat format) {
      // Its sizes and its layout alone are looked at, but the CPU's way copies what is not contiguous, and a GPU's gives the gradient the input's layout.
      const bool is_laid_out = gradient.is_cpu() || format == at::MemoryFormat::ChannelsLast;
      const torch::Tensor input = is_laid_out ? torch::empty(input_sizes, gradient.options(), format) : torch::empty({1}, gradient.options()).expand(input_sizes);
      return std::get<0>(at::convolution_backward(given, input, weight, c10::nullopt, {shape.stride, shape.stride}, {shape.padding, shape.padding}, {1, 1}, false,
                                                  {0, 0}, 1, {true, false, false}));
    };
    if (!has_channels_together(gradient, weight, 0)) return of(gradient, is_channels_last(gradient) ? at::MemoryFormat::ChannelsLast : at::MemoryFormat::Contiguous);
    return channels_apart(of(channels_together(gradient), at::MemoryFormat::ChannelsLast));
  }
  const Geometry g{input_sizes[0], input_sizes[1], input_sizes[2], input_sizes[3], gradient.size(2), gradient.size(3), shape};
  const torch::Tensor given = tokens_of_map(gradient).flatten(0, 1);  // [B · H' · W', out]
  return sum_of_columns(product_with(given, as_matrix(weight)), g);
}

}  // namespace sara
