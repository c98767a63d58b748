// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// The two products of a linear layer, for what runs below autograd. On the CPU in fp32 they are oneDNN's where the libtorch
// has it: its kernels are compiled for the processor at hand, torch's default BLAS takes a slower path on some (a third
// slower on AMD's). On Intel's the second is the BLAS's, up to twice as fast there where few tokens meet a wide weight. In
// bf16 they are torch's, but for processors whose own products of bf16 are slow: there they are made in fp32 registers, in two
// thirds of the time (ops/bf16_matmul.h).

// x Wᵀ + b: x [..., K], weight [N, K], bias [N] or undefined -> [..., N]
torch::Tensor product_with_transposed(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias = {});

// x W: x [..., N], weight [N, K] -> [..., K]
torch::Tensor product_with(const torch::Tensor& x, const torch::Tensor& weight);

}  // namespace sara
