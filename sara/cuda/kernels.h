// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <optional>
#include <vector>

#include "sara/cuda/adamw_factors.h"

namespace sara::cuda {

// One tensor of an optimizer pass. All on one device, contiguous.
struct PassTensor {
  torch::Tensor values, gradient;  // [n] fp32
  torch::Tensor dense;             // [extent] the memory that the weight spans: fp32, bf16 or fp16
  torch::Tensor offsets;           // [n] int32 or int64, into `dense`
  torch::Tensor base;              // [n] in dense's dtype, what decay pulls to; undefined: zero
  torch::Tensor exp_avg, exp_avg_sq;              // [n] fp32, or codes: int8 and uint8 (sparse/eight_bit.h)
  torch::Tensor exp_avg_scale, exp_avg_sq_scale;  // [blocks] fp32 of codes; undefined for fp32 moments
  AdamWFactors factors;
  int64_t first = 0;  // place in the flat buffers, and the key of this step's draws: for codes
  uint32_t key = 0;
};

// A square convolution: x [B, in, H, W] -> [B, out, H', W'].
struct ConvolutionGeometry {
  int64_t kernel, stride, padding;
};

// The kernels of this folder as functions of tensors. Each queues its work on the current stream of the tensors' device and returns; none
// waits. Results are tensors that the caller has made. fp32, bf16 and fp16; statistics, parameters of norms and sums are fp32.
struct Kernels {
  // compact[k] += dense[offsets[k]] and dense[offsets[k]] = compact[k]; dense one-dimensional.
  void (*gather_add)(const torch::Tensor& compact, const torch::Tensor& dense, const torch::Tensor& offsets);
  void (*scatter)(const torch::Tensor& dense, const torch::Tensor& offsets, const torch::Tensor& compact);

  // The norm over all entries of fp32 tensors and the factor that brings it down to max_norm (0: none), as fp64 [2]; the factor
  // is NaN for a norm that is not finite.
  torch::Tensor (*norm_and_clip)(at::TensorList tensors, double max_norm);

  // The optimizer step. `clip`: the result of norm_and_clip, whose factor multiplies the gradient; with NaN there nothing changes.
  // Undefined: 1.
  void (*adamw_pass)(const std::vector<PassTensor>& tensors, const torch::Tensor& clip);

  // out[k] += the entry at indices[k] (int32) of gradientᵀ input; gradient [tokens, out], input [tokens, in].
  void (*sampled_linear)(const torch::Tensor& out, const torch::Tensor& indices, const torch::Tensor& gradient, const torch::Tensor& input);
  // The same of a convolution's weight gradient; gradient [B, out, H', W'], input [B, in, H, W].
  void (*sampled_convolution)(const torch::Tensor& out, const torch::Tensor& indices, const torch::Tensor& gradient, const torch::Tensor& input,
                              const ConvolutionGeometry& geometry);

  // ops/group_norm.h; maps contiguous or channels_last, y, out and gradient as x; mean and rstd [B, groups]. Returns of backward: the gradients of
  // weight and bias, [2, C].
  void (*group_norm_statistics)(const torch::Tensor& mean, const torch::Tensor& rstd, const torch::Tensor& x, double eps);
  void (*group_norm_apply)(const torch::Tensor& y, const torch::Tensor& x, const torch::Tensor& mean, const torch::Tensor& rstd, const torch::Tensor& weight,
                           const torch::Tensor& bias, bool silu);
  torch::Tensor (*group_norm_backward)(const torch::Tensor& out, const torch::Tensor& gradient, const torch::Tensor& x, const torch::Tensor& mean, const torch::Tensor& rstd,
                                       const torch::Tensor& weight, const torch::Tensor& bias, bool silu);

  // ops/layer_norm.h; without eps mean and rstd are given. Returns of backward: the gradients of weight and bias, [2, C].
  void (*layer_norm)(const torch::Tensor& y, const torch::Tensor& mean, const torch::Tensor& rstd, const torch::Tensor& x, const torch::Tensor& weight,
                     const torch::Tensor& bias, std::optional<double> eps);
  torch::Tensor (*layer_norm_backward)(const torch::Tensor& out, const torch::Tensor& gradient, const torch::Tensor& x, const torch::Tensor& mean, const torch::Tensor& rstd,
                                       const torch::Tensor& weight, const torch::Tensor& add);

  // ops/geglu.h
  void (*geglu)(const torch::Tensor& out, const torch::Tensor& halves);
  void (*geglu_backward)(const torch::Tensor& out, const torch::Tensor& product, const torch::Tensor& gradient, const torch::Tensor& halves);
};

// The kernels for tensors on this device; null on the CPU and in a build without them, whose library has kernels_absent.cpp instead.
const Kernels* kernels(const torch::Device& device);

}  // namespace sara::cuda
