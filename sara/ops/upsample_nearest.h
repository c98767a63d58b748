// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// A feature map enlarged by nearest neighbour, [B, C, H, W] -> [B, C, height, width] (contiguous), the same numbers that torch takes: number w of a row is
// number floor(w · (W / width)) of the smaller one, in fp32 arithmetic. On a processor each row is made once and copied.
torch::Tensor upsample_nearest(const torch::Tensor& x, int64_t height, int64_t width);

}  // namespace sara
