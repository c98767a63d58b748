// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace sara {

// The coding of sorted flat indices in an adapter file. The k-th index is the running sum of gap + 1, starting at -1;
// a byte below 255 is (the rest of) the gap, each byte 255 adds 255 to it and continues. One cumulative sum reads it.
//   indices 0, 1, 258, 600  ->  gaps 0, 0, 256, 341  ->  bytes 0  0  255 1  255 86

// indices: [n] int32 or int64, strictly increasing, >= 0.
std::vector<uint8_t> encode_gaps(const torch::Tensor& indices);

// The `count` indices, each below `numel`: [count], int32 (int64 where numel > 2^31), on the CPU.
// Throws BadFile(source, ..., byte in the coding) when the coding ends inside a gap, leaves the tensor, or holds more or
// fewer than `count` indices; nothing is allocated that the bytes do not pay for.
torch::Tensor decode_gaps(const uint8_t* bytes, size_t size, int64_t count, int64_t numel, const std::string& source);

}  // namespace sara
