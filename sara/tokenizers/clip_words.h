// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace sara {

// CLIP's view of a text before any merge.

// Throws InvalidArgument with the byte position when `text` is not UTF-8.
void check_utf8(std::string_view text);

// What Unicode calls White_Space.
bool is_white_space(int32_t code_point);

// Unicode composed form (NFC), then every run of white space as one space, then lower case. White space is what Unicode
// calls White_Space; letters are lowered one by one (no final sigma). `text` must be UTF-8.
std::string clip_normalized(std::string_view text);

// The words of a normalised text, as views into it: each run of letters, each single digit (any \p{N}), each run of
// other visible characters, and the contractions 's 't 're 've 'm 'll 'd. Spaces fall away.
std::vector<std::string_view> clip_words(std::string_view normalized);

}  // namespace sara
