// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

namespace sara {

// The orientation (TIFF tag 0x0112 of the first directory) that an EXIF block states: 1 upright, 2 mirrored, 3 upside down,
// 4 flipped, 5 transposed, 6 to be turned right, 7 transposed the other way, 8 to be turned left. 1 when the block has no such tag;
// empty when the block is damaged or the value is none of these. An "Exif\0\0" prefix is passed over.
std::optional<int> exif_orientation(std::string_view block);

}  // namespace sara
