// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace sara {

// One caption as a text encoder takes it.
struct Encoding {
  std::vector<int64_t> ids;  // exactly max_length() of them: first token, caption, last token, padding
  int64_t length = 0;        // tokens of the whole caption with first and last token, before cutting and padding
  bool truncated = false;    // length > max_length(): the end of the caption was cut off
};

// Text to token ids. encode() may be called from several threads at once.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // `text` is UTF-8; throws InvalidArgument with the byte position where it is not (the caller names the file).
  virtual Encoding encode(std::string_view text) const = 0;
  virtual int64_t max_length() const = 0;
};

}  // namespace sara
