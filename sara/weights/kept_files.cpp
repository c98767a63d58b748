// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>

#include "sara/base/error.h"
#include "sara/weights/single_file.h"

namespace sara {
namespace {

constexpr const char* kDigits = "0123456789abcdef";

std::string hex(const std::string& bytes) {
  std::string out;
  for (const char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    out += kDigits[value >> 4];
    out += kDigits[value & 15];
  }
  return out;
}

std::optional<std::string> from_hex(const std::string& text) {
  if (text.size() % 2) return std::nullopt;
  std::string out;
  for (size_t i = 0; i < text.size(); i += 2) {
    const auto high = std::string(kDigits).find(text[i]), low = std::string(kDigits).find(text[i + 1]);
    if (high == std::string::npos || low == std::string::npos) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
  }
  return out;
}

bool is_text(const std::string& bytes) {
  try {
    Json(bytes).dump();
    return true;
  } catch (const Json::type_error&) {
    return false;
  }
}

// "name" or "folder/name", of letters, digits and ._- ; no part begins with a dot.
bool stays_inside(const std::string& path) {
  const auto slash = path.find('/');
  const auto is_name = [](const std::string& name) {
    return !name.empty() && name[0] != '.' &&
           std::ranges::all_of(name, [](unsigned char c) { return c < 0x80 && (std::isalnum(c) || c == '.' || c == '_' || c == '-'); });
  };
  if (slash == std::string::npos) return is_name(path);
  return is_name(path.substr(0, slash)) && is_name(path.substr(slash + 1));
}

}  // namespace

std::string packed_files(const std::map<std::string, std::string>& files) {
  Json packed = Json::object();
  for (const auto& [path, content] : files) packed[path] = is_text(content) ? Json(content) : Json{{"hex", hex(content)}};
  return packed.dump();
}

std::map<std::string, std::string> unpacked_files(const std::string& text, const std::string& source) {
  const Json packed = parse_json(text, message(source, ": metadata ", kKeptFiles));
  const auto refuse = [&](const std::string& path) {
    throw BadFile(source, message("metadata ", kKeptFiles, ": entry ", escaped(path), " is malformed. Fix: write the file again with sara convert"));
  };
  if (!packed.is_object()) refuse("");
  std::map<std::string, std::string> files;
  for (const auto& [path, content] : packed.items()) {
    if (!stays_inside(path)) refuse(path);
    if (content.is_string()) {
      files[path] = content.get<std::string>();
      continue;
    }
    const auto bytes = content.is_object() && content.contains("hex") && content["hex"].is_string() ? from_hex(content["hex"].get<std::string>()) : std::nullopt;
    if (!bytes) refuse(path);
    files[path] = *bytes;
  }
  return files;
}

}  // namespace sara
