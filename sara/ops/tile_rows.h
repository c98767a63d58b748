// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sara {

// The size of the innermost fp32 product in 512-bit registers (ops/tile_product_avx512.h): its sums take 28 of the 32 registers.
constexpr int64_t kTileRows = 14, kTileColumns = 32;

}  // namespace sara
