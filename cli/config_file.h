// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sara/files/json.h"

namespace sara::cli {

// One `key = value` of a TOML file.
struct ConfigEntry {
  std::string key;    // snake_case; kebab-case keys are taken too
  std::string where;  // "run.toml:3:1"
  Json value;         // bool, number, text, list or table; anything else arrives as its TOML text. Options take no table and no such text
};

// Throws InvalidArgument with line:column on bad TOML, IoError when the file cannot be read.
std::vector<ConfigEntry> read_config(const std::string& path);

// TOML text of name -> value; nulls are left out, since a key that is not there means "not set".
std::string toml_text(const Json& values);
std::string toml_value(const Json& value);

// Writes <folder>/config.toml, atomically.
void write_config(const std::string& folder, const Json& values);

}  // namespace sara::cli
