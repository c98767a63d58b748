// SPDX-License-Identifier: Apache-2.0
#include "cli/config_file.h"

#include <algorithm>
#include <charconv>
#include <sstream>

#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include "sara/base/error.h"
#include "sara/files/atomic_file.h"

namespace sara::cli {
namespace {

Json json_value(const toml::node& node) {
  if (const auto* value = node.as_boolean()) return value->get();
  if (const auto* value = node.as_integer()) return value->get();
  if (const auto* value = node.as_floating_point()) return value->get();
  if (const auto* value = node.as_string()) return value->get();
  if (const auto* array = node.as_array()) {
    Json list = Json::array();
    for (const auto& item : *array) list.push_back(json_value(item));
    return list;
  }
  if (const auto* table = node.as_table()) {
    Json object = Json::object();
    for (auto&& [key, item] : *table) object[std::string(key.str())] = json_value(item);
    return object;
  }
  std::ostringstream text;
  node.visit([&](const auto& any) { text << any; });
  return Json{{"toml", text.str()}};  // a date: no option has such a type
}

std::string place(const std::string& path, const toml::source_position& at) {
  return message(escaped(path), ":", at.line, ":", at.column);
}

std::string quoted(const std::string& text) {
  static const char* const digits = "0123456789ABCDEF";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (byte < 0x20 || byte == 0x7f) {
      out += {'\\', 'u', '0', '0', digits[byte >> 4], digits[byte & 15]};
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string shortest(double value) {
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value).ptr;
  std::string text(buffer, end);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";  // TOML would read a whole number
  return text;
}

}  // namespace

std::vector<ConfigEntry> read_config(const std::string& path) {
  const std::string text = read_file(path);
  toml::table table;
  try {
    table = toml::parse(text, path);
  } catch (const toml::parse_error& error) {
    std::string reason(error.description());
    std::replace(reason.begin(), reason.end(), '\n', ' ');
    throw InvalidArgument(message(place(path, error.source().begin), ": not TOML: ", escaped(reason)));
  }
  std::vector<ConfigEntry> entries;
  for (auto&& [key, node] : table) {
    std::string name(key.str());
    std::replace(name.begin(), name.end(), '-', '_');
    entries.push_back({escaped(name), place(path, key.source().begin), json_value(node)});
  }
  std::stable_sort(entries.begin(), entries.end(), [&](const auto& a, const auto& b) {
    return table.find(a.key) != table.end() && table.find(b.key) != table.end() &&
           table.find(a.key)->first.source().begin < table.find(b.key)->first.source().begin;
  });
  return entries;
}

std::string toml_value(const Json& value) {
  if (value.is_string()) return quoted(value.get<std::string>());
  if (value.is_number_float()) return shortest(value.get<double>());
  if (!value.is_array()) return value.dump();
  std::string out = "[";
  for (size_t i = 0; i < value.size(); ++i) out += (i ? ", " : "") + toml_value(value[i]);
  return out + "]";
}

std::string toml_text(const Json& values) {
  std::string out;
  for (const auto& [key, value] : values.items()) {
    if (!value.is_null()) out += key + " = " + toml_value(value) + "\n";
  }
  return out;
}

void write_config(const std::string& folder, const Json& values) { write_file(folder + "/config.toml", toml_text(values)); }

}  // namespace sara::cli
