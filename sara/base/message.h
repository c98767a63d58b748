// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sstream>
#include <string>

namespace sara {

// Joins its arguments into one string: message("expected ", 3, ", got ", 4).
template <class... Parts>
std::string message(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// Text safe to show in one line: control characters become \xNN.
std::string escaped(std::string_view text);

// "a, b, c, d, e and 7 more": the first five of a list and the rest as a count.
template <class Range>
std::string first_five(const Range& items, const char* separator = ", ") {
  std::ostringstream out;
  size_t index = 0;
  for (const auto& item : items) {
    if (index < 5) out << (index ? separator : "") << item;
    ++index;
  }
  if (index > 5) out << separator << "and " << index - 5 << " more (" << index << " in all)";
  return out.str();
}

}  // namespace sara
