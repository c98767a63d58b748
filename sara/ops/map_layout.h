// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// How feature maps [B, C, H, W] and the kernels of convolutions lie. On the CPU in the order of their sizes; on a device with kernels (sara/cuda) with the
// channels of a position together (torch's channels_last): so the tensor cores read them, and to them tokens are the same memory.

// Only where it makes a difference: a map of one position or one channel lies both ways.
bool is_channels_last(const torch::Tensor& map);

// The map as its device wants it, a copy where it lies otherwise. Differentiable.
torch::Tensor for_device(const torch::Tensor& map);

// Without gaps: channels_last stays, everything else becomes contiguous; and as another map of the same sizes lies.
torch::Tensor without_gaps(const torch::Tensor& map);
torch::Tensor laid_out_as(const torch::Tensor& map, const torch::Tensor& other);

}  // namespace sara
