// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "sara/base/options.h"
#include "sara/files/json.h"

namespace sara::cli {

// One field of an options struct, seen from outside: what --help, flags, environment, TOML and JSON need to know of it.
// The target points into the struct, which must outlive the field.
struct Field {
  using Target = std::variant<bool*, int64_t*, double*, std::string*, std::optional<bool>*, std::optional<int64_t>*,
                              std::optional<double>*, std::optional<std::string>*, std::vector<std::string>*>;
  std::string name;  // snake_case, as in TOML and JSON
  std::string help, group;
  Legal legal;
  Target target;
  Json default_value;               // null: no default
  std::string origin = "default";   // where the value came from, for `sara config show --origin`

  std::string flag() const;         // --batch-size
  std::string environment() const;  // SARA_BATCH_SIZE
  bool is_switch() const;           // takes no value on the command line
  bool is_list() const;
  std::string kind() const;         // "whole number", "number", "text", "true or false", "list of texts"
  Json value() const;               // null: not set

  // A value written as text, in the field's type; `problem` says why it cannot be read.
  Json parsed(const std::string& text, std::string& problem) const;
  // Checks type and legal range and stores. Returns what is wrong, or nothing.
  std::optional<std::string> assign(const Json& value, const std::string& from);
};

// The flags of an options struct, in the order of its visit().
template <class Options>
std::vector<Field> option_fields(Options& options, const std::string& group) {
  std::vector<Field> fields;
  options.visit([&](const char* name, auto& value, const char* help, const Legal& legal = {}) {
    Field field{name, help, group, legal, &value, {}};
    field.default_value = field.value();
    fields.push_back(std::move(field));
  });
  return fields;
}

}  // namespace sara::cli
