// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "sara/files/image.h"

namespace sara {

enum class Filter { bilinear, bicubic, lanczos };

// Antialiased resampling, bit for bit what Pillow gives for resize((width, image height)) followed by resize((width, height)).
//
// Along one side of `in` pixels made `out`: scale = in / out, fs = max(scale, 1), support = S fs with S = 1 (triangle),
// 2 (Keys' cubic, a = -0.5), 3 (Lanczos). Output x has its centre at c = (x + 0.5) scale and takes the pixels
// [max(0, int(c - support + 0.5)), min(in, int(c + support + 0.5))) with weights f((i - c + 0.5) / fs), normalised to sum 1 in
// double, then rounded to 22-bit fixed point. Rows first, then columns, rounded and clamped to 8 bits after each; a side that
// keeps its length is left as it is.
// Throws InvalidArgument unless the image is whole and the result, as well as the image between the passes
// (new width, old height), has 1 to kMostPixels pixels.
Image resize(const Image& image, int64_t width, int64_t height, Filter filter);

}  // namespace sara
