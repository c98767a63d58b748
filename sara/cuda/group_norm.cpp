// SPDX-License-Identifier: Apache-2.0
#include "sara/cuda/arguments.h"
#include "sara/cuda/functions.h"
#include "sara/cuda/group_norm_gradients.cuh"

namespace sara::cuda {
namespace {

GroupShape group_shape(const torch::Tensor& x, const torch::Tensor& mean) {
  const int64_t planes = x.size(0) * x.size(1);
  return {x.size(0), x.size(1), mean.size(1), planes ? x.numel() / planes : 0, !x.is_contiguous()};
}

GroupParameters group_parameters(const GroupShape& shape, const torch::Tensor& mean, const torch::Tensor& rstd, const torch::Tensor& weight, const torch::Tensor& bias) {
  const int64_t groups = shape.batch * shape.groups;
  return {numbers_of<float>(mean, groups), numbers_of<float>(rstd, groups), numbers_of<float>(weight, shape.channels), numbers_of<float>(bias, shape.channels)};
}

// The numbers of x, or of what lies as x does.
template <class T>
T* map_numbers(const torch::Tensor& map, const GroupShape& shape) {
  const torch::Tensor line = shape.channels_last && map.is_contiguous(at::MemoryFormat::ChannelsLast) ? map.permute({0, 2, 3, 1}) : map;
  return numbers_of<T>(line, shape.batch * shape.channels * shape.area);
}

}  // namespace

void group_norm_statistics(const torch::Tensor& mean, const torch::Tensor& rstd, const torch::Tensor& x, double eps) {
  const GroupShape shape = group_shape(x, mean);
  const int64_t groups = shape.batch * shape.groups;
  for_number(x.scalar_type(), [&]<class T>() {
    queue(GroupStatistics<T>{numbers_of<float>(mean, groups), numbers_of<float>(rstd, groups), map_numbers<T>(x, shape), shape, static_cast<float>(eps)}, groups, x);
  });
}

void group_norm_apply(const torch::Tensor& y, const torch::Tensor& x, const torch::Tensor& mean, const torch::Tensor& rstd, const torch::Tensor& weight, const torch::Tensor& bias,
                      bool silu) {
  const GroupShape shape = group_shape(x, mean);
  const GroupParameters norm = group_parameters(shape, mean, rstd, weight, bias);
  for_number(x.scalar_type(), [&]<class T>() { queue(GroupNormApply<T>{map_numbers<T>(y, shape), map_numbers<T>(x, shape), norm, shape, silu}, Pieces{shape}.count(), x); });
}

torch::Tensor group_norm_backward(const torch::Tensor& out, const torch::Tensor& gradient, const torch::Tensor& x, const torch::Tensor& mean, const torch::Tensor& rstd,
                                  const torch::Tensor& weight, const torch::Tensor& bias, bool silu) {
  const GroupShape shape = group_shape(x, mean);
  const GroupParameters norm = group_parameters(shape, mean, rstd, weight, bias);
  const int64_t groups = shape.batch * shape.groups;
  torch::Tensor result;
  for_number(x.scalar_type(), [&]<class T>() {
    using ChannelSums = GroupNormChannelSums<T>;
    const int64_t parts = shape.channels_last ? ChannelSums::parts(shape) : 1;
    const torch::Tensor sums = torch::empty({2, shape.batch * parts, shape.channels}, mean.options()), factors = torch::empty({groups, 2}, mean.options());
    float *of_weight = sums.data_ptr<float>(), *of_bias = of_weight + sums.stride(0), *of_group = factors.data_ptr<float>();
    const T *given = map_numbers<T>(gradient, shape), *from = map_numbers<T>(x, shape);
    if (shape.channels_last)
      queue(ChannelSums{of_weight, of_bias, given, from, norm, shape, silu}, shape.batch * parts * ChannelSums::stripes(shape), x);
    else
      queue(GroupNormPlaneSums<T>{of_weight, of_bias, given, from, norm, shape, silu}, shape.batch * shape.channels, x);
    queue(GroupNormFactors{of_group, of_weight, of_bias, parts, norm, shape}, blocks_for(groups, GroupNormFactors::kThreads), x);
    queue(GroupNormInputGradient<T>{map_numbers<T>(out, shape), given, from, of_group, norm, shape, silu}, Pieces{shape}.count(), x);
    result = sums.sum(1);
  });
  return result;
}

}  // namespace sara::cuda
