// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <optional>

namespace sara {

// Numbers in one byte each, in blocks of 256 with one fp32 scale, the largest magnitude of the block. A block's levels lie
// dense near zero, where most moments of an optimizer are:
//   signed (first moments)     scale q |q| / 127^2,  q = -127 .. 127: fractions of the scale down to 6e-5
//   unsigned (second moments)  scale (c / 255)^4,    c = 0 .. 255:    down to 2.4e-10, that is 1.5e-5 in its root
// A number between two levels becomes one of them: the upper with a probability that makes the expectation the number
// itself. To the nearest, a moment that decays by 0.1 % a step, much less than the distance of two levels, would never move. The
// draw depends on (key, position) alone. A second moment above zero never becomes zero, which would be divided by.
constexpr int64_t kMomentBlock = 256;
inline int64_t moment_blocks(int64_t count) { return (count + kMomentBlock - 1) / kMomentBlock; }

struct EightBit {
  torch::Tensor codes;   // [n] int8 for signed, uint8 for unsigned
  torch::Tensor scales;  // [moment_blocks(n)] fp32
};

// numbers: [n] fp32, unsigned ones not below zero. first: the position of the first. Without a key, to the nearest level.
EightBit to_eight_bit(const torch::Tensor& numbers, bool is_signed, int64_t first = 0, std::optional<uint32_t> key = std::nullopt);
torch::Tensor from_eight_bit(const EightBit& numbers);  // [n] fp32

// The key of one update of an optimizer.
uint32_t moment_key(int64_t update);

}  // namespace sara
