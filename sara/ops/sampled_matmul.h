// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <vector>

namespace sara {

// The two factors of a product whose entries are dot products of `length` neighbouring numbers. fp32 or bf16, on the CPU.
struct SampledFactors {
  torch::Tensor left;   // row r begins at r * left.stride(0)
  torch::Tensor right;  // one line of memory; column c begins at column_starts[c]
  std::vector<int64_t> column_starts;
  int64_t length = 0;  // a multiple of kSampledLanes, filled up with zeros on the left; what lies beside them on the right is finite
};

constexpr int64_t kSampledLanes = 32;

// The type in which sampled products of `dtype` are computed here: itself, or fp32 for fp16 and where the processor has no
// products of bf16 numbers.
at::ScalarType sampled_dtype(at::ScalarType dtype);

// out[k] += sum_i left[row(k), i] · right[column(k), i] for the sorted flat positions indices[k] (int32) of a
// [rows, columns] matrix, in fp32. `row_starts` as in Values::Slot. The cost is that of indices.numel() dot products: no
// dense product exists. Each entry is added up by one thread in an order that depends on `length` alone: the same bits at
// any thread count.
void sampled_matmul_add_(const torch::Tensor& out, const torch::Tensor& indices, const torch::Tensor& row_starts, const SampledFactors& factors);

}  // namespace sara
