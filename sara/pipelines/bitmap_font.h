// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "sara/files/image.h"

namespace sara {

// A font of 5 x 7 pixels for labels in pictures: printable ASCII and a few signs; any other character is an empty box.
constexpr int64_t kLetterWidth = 6, kLineHeight = 9;  // with the space to the next letter and line

// The characters of UTF-8 text; a byte that is not UTF-8 becomes U+FFFD.
std::u32string code_points(std::string_view text);

// Draws in black, upper left corner at (x, y), each dot `scale` pixels wide. What lies outside the picture is left out.
void draw_text(Image& picture, const std::u32string& text, int64_t x, int64_t y, int64_t scale = 1);

}  // namespace sara
