// SPDX-License-Identifier: Apache-2.0
#include "sara/cuda/group_norm.cuh"

#include "sara/cuda/arguments.h"
#include "sara/cuda/functions.h"

namespace sara::cuda {
namespace {

GroupShape group_shape(const torch::Tensor& x, const torch::Tensor& mean) {
  const int64_t planes = x.size(0) * x.size(1);
  return {x.size(0), x.size(1), mean.size(1), planes ? x.numel() / planes : 0};
}

GroupParameters group_parameters(const GroupShape& shape, const torch::Tensor& mean, const torch::Tensor& rstd, const torch::Tensor& weight, const torch::Tensor& bias) {
  const int64_t groups = shape.batch * shape.groups;
  return {numbers_of<float>(mean, groups), numbers_of<float>(rstd, groups), numbers_of<float>(weight, shape.channels), numbers_of<float>(bias, shape.channels)};
}

int64_t piece_blocks(const GroupShape& shape) { return shape.batch * shape.channels * pieces_of(shape); }

}  // namespace

void group_norm_statistics(const torch::Tensor& mean, const torch::Tensor& rstd, const torch::Tensor& x, double eps) {
  const GroupShape shape = group_shape(x, mean);
  const int64_t groups = shape.batch * shape.groups;
  for_number(x.scalar_type(), [&]<class T>() {
    queue(GroupStatistics<T>{numbers_of<float>(mean, groups), numbers_of<float>(rstd, groups), numbers_of<T>(x, x.numel()), shape, static_cast<float>(eps)}, groups, x);
  });
}

void group_norm_apply(const torch::Tensor& y, const torch::Tensor& x, const torch::Tensor& mean, const torch::Tensor& rstd, const torch::Tensor& weight, const torch::Tensor& bias,
                      bool silu) {
  const GroupShape shape = group_shape(x, mean);
  const GroupParameters norm = group_parameters(shape, mean, rstd, weight, bias);
  for_number(x.scalar_type(), [&]<class T>() {
    queue(GroupNormApply<T>{numbers_of<T>(y, x.numel()), numbers_of<T>(x, x.numel()), norm, shape, silu}, piece_blocks(shape), x);
  });
}

void group_norm_backward(const torch::Tensor& out, const torch::Tensor& weight_parts, const torch::Tensor& bias_parts, const torch::Tensor& gradient, const torch::Tensor& x,
                         const torch::Tensor& mean, const torch::Tensor& rstd, const torch::Tensor& weight, const torch::Tensor& bias, bool silu) {
  const GroupShape shape = group_shape(x, mean);
  const GroupParameters norm = group_parameters(shape, mean, rstd, weight, bias);
  const int64_t planes = shape.batch * shape.channels, groups = shape.batch * shape.groups;
  const torch::Tensor factors = torch::empty({groups, 2}, weight_parts.options());
  float *of_weight = numbers_of<float>(weight_parts, planes), *of_bias = numbers_of<float>(bias_parts, planes), *of_group = factors.data_ptr<float>();
  for_number(x.scalar_type(), [&]<class T>() {
    const T *given = numbers_of<T>(gradient, x.numel()), *from = numbers_of<T>(x, x.numel());
    queue(GroupNormPlaneSums<T>{of_weight, of_bias, given, from, norm, shape, silu}, planes, x);
    queue(GroupNormFactors{of_group, of_weight, of_bias, norm, shape}, blocks_for(groups, GroupNormFactors::kThreads), x);
    queue(GroupNormInputGradient<T>{numbers_of<T>(out, x.numel()), given, from, of_group, norm, shape, silu}, piece_blocks(shape), x);
  });
}

}  // namespace sara::cuda
