// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "sara/files/json.h"

namespace sara {

// Calls use(row, line) for every object of a text of JSON lines; lines count from 1, empty ones are left out. `path` is named in errors:
// throws BadFile for a line that is not JSON or no object.
void for_each_json_line(std::string_view text, const std::string& path, const std::function<void(const Json& row, int64_t line)>& use);

}  // namespace sara
