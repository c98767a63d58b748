// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace sara {

// SentencePiece's precompiled table of replacements (nmt_nfkc and the like): a double-array trie over UTF-8 texts, each
// with the text that stands for it. Layout: u32 size of the trie in bytes, the trie as u32 units, then the replacements,
// each ended by a zero byte; all little-endian. A unit: bits 0-7 label, 8 whether a value hangs below, 9 whether the offset
// counts in 256s, 10-30 offset; with bit 31 set, bits 0-30 are a value: where its replacement begins.
class Charsmap {
 public:
  Charsmap() = default;  // replaces nothing
  // Throws BadFile{source} for a table that is cut short or points outside itself.
  Charsmap(std::string_view bytes, const std::string& source);

  // Each grapheme cluster of less than 6 bytes that the table knows, or begins with one, is replaced as a whole;
  // otherwise each of its characters, where the table knows it. `text` must be UTF-8.
  std::string normalized(std::string_view text) const;

 private:
  std::optional<std::string_view> replacement(std::string_view text) const;

  std::vector<uint32_t> units_;
  std::string replacements_;
};

// Bytes from base64 with padding. Throws BadFile{source}.
std::string base64_decoded(std::string_view text, const std::string& source);

}  // namespace sara
