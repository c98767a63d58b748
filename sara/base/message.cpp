// SPDX-License-Identifier: Apache-2.0
#include "sara/base/message.h"

namespace sara {

std::string escaped(std::string_view text) {
  static const char* const digits = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f) {
      out += {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace sara
