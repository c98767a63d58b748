// SPDX-License-Identifier: Apache-2.0
#include "sara/data/json_lines.h"

#include <algorithm>

#include "sara/base/error.h"
#include "sara/data/captions.h"

namespace sara {

void for_each_json_line(std::string_view text, const std::string& path, const std::function<void(const Json& row, int64_t line)>& use) {
  int64_t line = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const auto content = trimmed(text.substr(at, end - at));
    at = end + 1;
    ++line;
    if (content.empty()) continue;
    const Json row = parse_json(content, message(path, " line ", line));
    if (!row.is_object()) throw BadFile(path, message("line ", line, " is no JSON object"));
    use(row, line);
  }
}

}  // namespace sara
