// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>

#include "sara/sparse/named_tensors.h"

namespace sara {

// Magnitudes are compared as integers: the 31 low bits of |p| in fp32 order as |p| does. bf16 and fp16 numbers are fp32
// numbers, so the comparison sees the exact stored value in every dtype.
inline uint32_t magnitude_bits(float p) { return std::bit_cast<uint32_t>(p) & 0x7fffffffu; }
constexpr uint32_t kInfinityBits = 0x7f800000u;  // this and above: infinite or NaN

// The integer with |p| < threshold <=> magnitude_bits(p) < magnitude_limit(threshold) for every fp32 p: the bits of the
// smallest fp32 number >= threshold. Throws InvalidArgument unless threshold > 0.
uint32_t magnitude_limit(double threshold);

// Sorted flat positions (int32, or int64 above 2^31 elements) of { |p| < threshold } in one tensor of fp32, bf16 or
// fp16; on the tensor's device. Positions are those of the contiguous tensor, whatever the strides.
torch::Tensor indices_below(const torch::Tensor& tensor, double threshold);

// How many weights of each tensor lie below the threshold, in the order given. Throws BadFile naming the first tensor
// with NaN or infinite weights, and their number.
std::vector<int64_t> counts_below(const NamedTensors& tensors, double threshold);

// A tensor's elements as a flat contiguous CPU tensor; no copy where it is one already.
torch::Tensor flat_on_cpu(const torch::Tensor& tensor);

// Calls body(pointer to the elements, count) with the element type of a flat CPU tensor of fp32, bf16 or fp16.
template <class Body>
void with_elements(const torch::Tensor& flat, Body body) {
  switch (flat.scalar_type()) {
    case torch::kFloat: return body(flat.const_data_ptr<float>(), flat.numel());
    case torch::kBFloat16: return body(flat.const_data_ptr<at::BFloat16>(), flat.numel());
    case torch::kHalf: return body(flat.const_data_ptr<at::Half>(), flat.numel());
    default: TORCH_CHECK_NOT_IMPLEMENTED(false, "weights of dtype ", flat.scalar_type());
  }
}

}  // namespace sara
