// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace sara {

// Keeps the keys in the order of the file, so that a config that is read and written again stays recognisable.
using Json = nlohmann::ordered_json;

// Parses with the strictness of walk_json (sara/files/json_walk.h). `source` names the text in errors.
// Throws BadFile with the byte offset.
Json parse_json(std::string_view text, const std::string& source);

Json read_json(const std::string& path);  // BadFile, IoError

// Atomic; two-space indent, final newline. InvalidArgument when a string is not UTF-8 or a number not finite.
void write_json(const std::string& path, const Json& value);

}  // namespace sara
