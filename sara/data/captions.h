// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace sara {

// Position of the first byte that is not UTF-8 (overlong forms and surrogates included); nothing when all is well.
std::optional<size_t> first_bad_utf8(std::string_view text);

// The text without spaces, tabs and line ends at both sides.
std::string_view trimmed(std::string_view text);

// The caption file beside an image: `a.png` has `a.txt`, `a.caption` or `a` + extension. Nothing when there is none.
// Two of them are two captions for one image: BadFile naming both.
std::optional<std::string> caption_file_of(const std::string& image, const std::string& extension);

// First line of a caption file, trimmed, without a byte order mark; may be empty.
// Throws BadFile with the byte offset when it is not UTF-8, IoError.
std::string read_caption_file(const std::string& path);

// Which of a sample's `count` captions is used in this epoch: a draw of the stream "caption" keyed (epoch, sample).
int64_t drawn_caption(int64_t count, uint64_t seed, int64_t epoch, int64_t sample);

}  // namespace sara
