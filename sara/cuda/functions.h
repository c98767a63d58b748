// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/cuda/kernels.h"

namespace sara::cuda {

// The functions that the table of kernels.h holds, one file a family.

void gather_add(const torch::Tensor& compact, const torch::Tensor& dense, const torch::Tensor& offsets);
void scatter(const torch::Tensor& dense, const torch::Tensor& offsets, const torch::Tensor& compact);
torch::Tensor norm_and_clip(at::TensorList tensors, double max_norm);
void adamw_pass(const std::vector<PassTensor>& tensors, const torch::Tensor& clip);
void sampled_linear(const torch::Tensor& out, const torch::Tensor& indices, const torch::Tensor& gradient, const torch::Tensor& input);
void sampled_convolution(const torch::Tensor& out, const torch::Tensor& indices, const torch::Tensor& gradient, const torch::Tensor& input, const ConvolutionGeometry& geometry);
void group_norm_statistics(const torch::Tensor& mean, const torch::Tensor& rstd, const torch::Tensor& x, double eps);
void group_norm_apply(const torch::Tensor& y, const torch::Tensor& x, const torch::Tensor& mean, const torch::Tensor& rstd, const torch::Tensor& weight, const torch::Tensor& bias,
                      bool silu);
torch::Tensor group_norm_backward(const torch::Tensor& out, const torch::Tensor& gradient, const torch::Tensor& x, const torch::Tensor& mean, const torch::Tensor& rstd,
                                  const torch::Tensor& weight, const torch::Tensor& bias, bool silu);
void layer_norm(const torch::Tensor& y, const torch::Tensor& mean, const torch::Tensor& rstd, const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias,
                std::optional<double> eps);
torch::Tensor layer_norm_backward(const torch::Tensor& out, const torch::Tensor& gradient, const torch::Tensor& x, const torch::Tensor& mean, const torch::Tensor& rstd,
                                  const torch::Tensor& weight, const torch::Tensor& add);
void geglu(const torch::Tensor& out, const torch::Tensor& halves);
void geglu_backward(const torch::Tensor& out, const torch::Tensor& product, const torch::Tensor& gradient, const torch::Tensor& halves);

constexpr Kernels kTable{.gather_add = gather_add,
                         .scatter = scatter,
                         .norm_and_clip = norm_and_clip,
                         .adamw_pass = adamw_pass,
                         .sampled_linear = sampled_linear,
                         .sampled_convolution = sampled_convolution,
                         .group_norm_statistics = group_norm_statistics,
                         .group_norm_apply = group_norm_apply,
                         .group_norm_backward = group_norm_backward,
                         .layer_norm = layer_norm,
                         .layer_norm_backward = layer_norm_backward,
                         .geglu = geglu,
                         .geglu_backward = geglu_backward};

}  // namespace sara::cuda
