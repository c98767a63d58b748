// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/group_norm.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>

#include <cmath>
#include <vector>

#include "sara/cuda/kernels.h"
#include "sara/ops/group_norm_loops.h"
#include "sara/ops/map_layout.h"

namespace sara {
namespace {

struct Shape {
  Shape(const torch::Tensor& x, int64_t groups) : batch(x.size(0)), channels(x.size(1)), groups(groups), area(x.numel() / std::max<int64_t>(1, batch * channels)) {}
  int64_t batch, channels, groups, area;
  int64_t group_channels() const { return channels / groups; }
  int64_t group_size() const { return group_channels() * area; }
};

template <class T>
void find_statistics(float* mean, float* rstd, const T* x, const Shape& shape, double eps) {
  at::parallel_for(0, shape.batch * shape.groups, 1, [&](int64_t first, int64_t last) {
    for (int64_t group = first; group < last; ++group) {
      double sum = 0, squares = 0;
      for (int64_t c = 0; c < shape.group_channels(); ++c) sum += sum_of_plane(x + group * shape.group_size() + c * shape.area, shape.area);
      mean[group] = static_cast<float>(sum / double(shape.group_size()));
      for (int64_t c = 0; c < shape.group_channels(); ++c) squares += squares_of_plane(mean[group], x + group * shape.group_size() + c * shape.area, shape.area);
      rstd[group] = static_cast<float>(1 / std::sqrt(squares / double(shape.group_size()) + eps));
    }
  });
}

// Statistics and parameters as fp32 numbers, and the line of each channel of each picture.
struct Norm {
  Norm(const Shape& shape, const NormStatistics& statistics, const torch::Tensor& weight, const torch::Tensor& bias)
      : shape(shape), weight_fp32(weight.detach().to(torch::kFloat).contiguous()), bias_fp32(bias.detach().to(torch::kFloat).contiguous()),
        mean(statistics.mean.const_data_ptr<float>()), rstd(statistics.rstd.const_data_ptr<float>()),
        weight(weight_fp32.const_data_ptr<float>()), bias(bias_fp32.const_data_ptr<float>()) {}
  ChannelLine line(int64_t group, int64_t channel) const {
    const float scale = rstd[group] * weight[channel];
    return {scale, bias[channel] - mean[group] * scale};
  }
  Shape shape;
  torch::Tensor weight_fp32, bias_fp32;
  const float *mean, *rstd, *weight, *bias;
};

template <class T>
void apply(T* y, const T* x, const Norm& norm, bool silu) {
  const Shape& shape = norm.shape;
  at::parallel_for(0, shape.batch * shape.channels, 1 + 16384 / std::max<int64_t>(1, shape.area), [&](int64_t first, int64_t last) {
    for (int64_t plane = first; plane < last; ++plane)
      normalize_plane(y + plane * shape.area, x + plane * shape.area, shape.area, norm.line(plane / shape.group_channels(), plane % shape.channels), silu);
  });
}

template <class T>
void backward(T* out, T* output, float* weight_parts, float* bias_parts, const T* gradient, const T* x, const Norm& norm, bool silu) {
  const Shape& shape = norm.shape;
  at::parallel_for(0, shape.batch * shape.groups, 1, [&](int64_t first, int64_t last) {
    std::vector<float> inner(shape.group_size());
    for (int64_t group = first; group < last; ++group) {
      const float mean = norm.mean[group], rstd = norm.rstd[group];
      double sum = 0, product = 0;  // over the group, weighted
      for (int64_t c = 0; c < shape.group_channels(); ++c) {
        const int64_t plane = group * shape.group_channels() + c, channel = plane % shape.channels;
        const PlaneSums sums = inner_gradient(inner.data() + c * shape.area, output ? output + plane * shape.area : nullptr, gradient + plane * shape.area, x + plane * shape.area, shape.area,
                                              mean, norm.line(group, channel), silu);
        bias_parts[plane] = sums.gradient;
        weight_parts[plane] = sums.product * rstd;
        sum += double{norm.weight[channel]} * sums.gradient;
        product += double{norm.weight[channel]} * sums.product;
      }
      const auto constant = static_cast<float>(-rstd * sum / double(shape.group_size()));
      const auto of_x = static_cast<float>(-double{rstd} * rstd * rstd * product / double(shape.group_size()));
      for (int64_t c = 0; c < shape.group_channels(); ++c) {
        const int64_t plane = group * shape.group_channels() + c;
        outer_gradient(out + plane * shape.area, inner.data() + c * shape.area, x + plane * shape.area, shape.area, mean, rstd * norm.weight[plane % shape.channels], of_x, constant);
      }
    }
  });
}

torch::Tensor plain_fp32(const torch::Tensor& parameter) { return parameter.detach().to(torch::kFloat).contiguous(); }

// On other devices without kernels: the same formulas, by whole tensors.
torch::Tensor grouped(const torch::Tensor& x, int64_t groups) { return x.to(torch::kFloat).reshape({x.size(0), groups, -1}); }

std::vector<int64_t> channels_only(const torch::Tensor& x) {
  std::vector<int64_t> sizes(x.dim(), 1);
  sizes[1] = x.size(1);
  return sizes;
}

torch::Tensor normalized(const torch::Tensor& x, const NormStatistics& statistics) {
  const int64_t groups = statistics.mean.size(1);
  return ((grouped(x, groups) - statistics.mean.unsqueeze(2)) * statistics.rstd.unsqueeze(2)).view(x.sizes());
}

}  // namespace

NormStatistics group_norm_statistics(const torch::Tensor& x, int64_t groups, double eps) {
  RECORD_FUNCTION("sara::group_norm_statistics", {});
  if (const auto* kernels = cuda::kernels(x.device())) {
    const torch::Tensor mean = torch::empty({x.size(0), groups}, x.options().dtype(torch::kFloat).requires_grad(false)), rstd = torch::empty_like(mean);
    kernels->group_norm_statistics(mean, rstd, without_gaps(x), eps);
    return {mean, rstd};
  }
  if (!x.is_cpu()) {
    const torch::Tensor parts = grouped(x, groups);
    return {parts.mean(2), (parts.var(2, /*unbiased=*/false) + eps).rsqrt()};
  }
  const Shape shape(x, groups);
  const torch::Tensor from = x.to(loop_dtype(x.scalar_type())).contiguous();
  NormStatistics statistics{torch::empty({shape.batch, groups}, from.options().dtype(torch::kFloat)), torch::empty({shape.batch, groups}, from.options().dtype(torch::kFloat))};
  auto *mean = statistics.mean.data_ptr<float>(), *rstd = statistics.rstd.data_ptr<float>();
  if (from.scalar_type() == torch::kBFloat16)
    find_statistics(mean, rstd, numbers<bf16_bits>(from), shape, eps);
  else
    find_statistics(mean, rstd, numbers<float>(from), shape, eps);
  return statistics;
}

torch::Tensor group_norm_apply(const torch::Tensor& x, const NormStatistics& statistics, const torch::Tensor& weight, const torch::Tensor& bias, bool silu) {
  RECORD_FUNCTION("sara::group_norm_apply", {});
  if (const auto* kernels = cuda::kernels(x.device())) {
    const torch::Tensor from = without_gaps(x), out = torch::empty_like(from);
    kernels->group_norm_apply(out, from, statistics.mean, statistics.rstd, plain_fp32(weight), plain_fp32(bias), silu);
    return out;
  }
  if (!x.is_cpu()) {
    const auto sizes = channels_only(x);
    const torch::Tensor z = normalized(x, statistics) * weight.to(torch::kFloat).view(sizes) + bias.to(torch::kFloat).view(sizes);
    return (silu ? z * z.sigmoid() : z).to(x.scalar_type());
  }
  const torch::Tensor from = x.to(loop_dtype(x.scalar_type())).contiguous(), out = torch::empty_like(from);
  const Norm norm(Shape(x, statistics.mean.size(1)), statistics, weight, bias);
  if (from.scalar_type() == torch::kBFloat16)
    apply(mutable_numbers<bf16_bits>(out), numbers<bf16_bits>(from), norm, silu);
  else
    apply(mutable_numbers<float>(out), numbers<float>(from), norm, silu);
  return out.to(x.scalar_type());
}

NormGradients group_norm_backward(const torch::Tensor& gradient, const torch::Tensor& x, const NormStatistics& statistics, const torch::Tensor& weight,
                                  const torch::Tensor& bias, bool silu, bool with_output) {
  RECORD_FUNCTION("sara::group_norm_backward", {});
  const auto* const kernels = cuda::kernels(x.device());
  const torch::Tensor output = with_output && (kernels || !x.is_cpu()) ? group_norm_apply(x, statistics, weight, bias, silu) : torch::Tensor();
  if (kernels) {
    const torch::Tensor from = without_gaps(x), out = torch::empty_like(from), given = laid_out_as(gradient.to(x.scalar_type()), from);
    const torch::Tensor sums = kernels->group_norm_backward(out, given, from, statistics.mean, statistics.rstd, plain_fp32(weight), plain_fp32(bias), silu);
    return {out, sums[0], sums[1], output};
  }
  if (!x.is_cpu()) {
    const auto sizes = channels_only(x);
    const torch::Tensor unit = normalized(x, statistics), scale = weight.to(torch::kFloat).view(sizes);
    torch::Tensor inner = gradient.to(torch::kFloat);
    if (silu) {
      const torch::Tensor z = unit * scale + bias.to(torch::kFloat).view(sizes), s = z.sigmoid();
      inner = inner * s * (1 + z * (1 - s));
    }
    const int64_t groups = statistics.mean.size(1);
    const torch::Tensor weighted = grouped(inner * scale, groups), units = grouped(unit, groups);
    const torch::Tensor out = (weighted - weighted.mean(2, true) - units * (weighted * units).mean(2, true)) * statistics.rstd.unsqueeze(2);
    std::vector<int64_t> others{0};
    for (int64_t d = 2; d < x.dim(); ++d) others.push_back(d);
    return {out.view(x.sizes()).to(x.scalar_type()), (inner * unit).sum(others), inner.sum(others), output};
  }
  const auto dtype = loop_dtype(x.scalar_type());
  const torch::Tensor from = x.to(dtype).contiguous(), given = gradient.to(dtype).contiguous(), out = torch::empty_like(from), again = with_output ? torch::empty_like(from) : torch::Tensor();
  const Shape shape(x, statistics.mean.size(1));
  const Norm norm(shape, statistics, weight, bias);
  const torch::Tensor parts = torch::empty({2, shape.batch, shape.channels}, from.options().dtype(torch::kFloat));
  auto *weight_parts = parts.data_ptr<float>(), *bias_parts = weight_parts + shape.batch * shape.channels;
  if (dtype == torch::kBFloat16)
    backward(mutable_numbers<bf16_bits>(out), with_output ? mutable_numbers<bf16_bits>(again) : nullptr, weight_parts, bias_parts, numbers<bf16_bits>(given), numbers<bf16_bits>(from), norm, silu);
  else
    backward(mutable_numbers<float>(out), with_output ? mutable_numbers<float>(again) : nullptr, weight_parts, bias_parts, numbers<float>(given), numbers<float>(from), norm, silu);
  const torch::Tensor sums = parts.sum(1);
  return {out.to(x.scalar_type()), sums[0], sums[1], with_output ? again.to(x.scalar_type()) : again};
}

}  // namespace sara
