// SPDX-License-Identifier: Apache-2.0
#include "sara/data/metadata_file.h"

#include <algorithm>
#include <optional>

#include "sara/base/error.h"
#include "sara/base/options.h"
#include "sara/data/captions.h"
#include "sara/data/json_lines.h"
#include "sara/files/input_file.h"
#include "sara/files/json.h"

namespace sara {
namespace {

std::string file_column(const MetadataColumns& columns) {
  return columns.image == "image" ? "file_name" : columns.image;
}

std::string utf8_text(const std::string& path) {
  std::string text = read_file(path);
  if (const auto bad = first_bad_utf8(text)) throw BadFile(path, "is not UTF-8. Fix: save the file as UTF-8", *bad);
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  return text;
}

[[noreturn]] void no_column(const std::string& path, int64_t line, const std::string& wanted,
                            const std::vector<std::string>& present) {
  const auto near = nearest_name(wanted, present);
  throw BadFile(
      path, message("line ", line, " has no column \"", escaped(wanted), "\"",
                    near ? message(" (\"", escaped(*near), "\" is the nearest)") : "", "; it has ",
                    escaped(first_five(present)), ". Fix: name the columns with --image-column and --caption-column"));
}

std::vector<std::string> captions_of(const Json& value, const std::string& path, int64_t line,
                                     const std::string& column) {
  if (value.is_null()) return {};
  std::vector<std::string> captions;
  const auto take = [&](const Json& one) {
    if (!one.is_string())
      throw BadFile(path, message("line ", line, ": \"", escaped(column), "\" is ", one.type_name(),
                                  " (expected a string or a list of strings)"));
    captions.emplace_back(trimmed(one.get_ref<const std::string&>()));
  };
  if (value.is_array())
    for (const auto& one : value) take(one);
  else
    take(value);
  return captions;
}

// One record of a CSV text from `at` on; moves `at` behind it and `line` on by the line breaks passed.
std::vector<std::string> csv_record(const std::string& text, size_t& at, int64_t& line, const std::string& path) {
  std::vector<std::string> fields(1);
  const int64_t first_line = line;
  bool quoted = false, was_quoted = false;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '\n') ++line;
    if (quoted) {
      if (c != '"') {
        fields.back() += c;
      } else if (at + 1 < text.size() && text[at + 1] == '"') {
        fields.back() += text[++at];
      } else {
        quoted = false;
      }
    } else if (c == '"' && fields.back().empty() && !was_quoted) {
      quoted = was_quoted = true;
    } else if (c == ',') {
      fields.emplace_back();
      was_quoted = false;
    } else if (c == '\n') {
      ++at;
      if (!was_quoted && fields.back().ends_with('\r')) fields.back().pop_back();
      return fields;
    } else if (!(was_quoted && c == '\r')) {
      if (was_quoted) throw BadFile(path, message("line ", line, " has text behind a closing quote"), at);
      fields.back() += c;
    }
  }
  if (quoted) throw BadFile(path, message("the quote opened in the record of line ", first_line, " is never closed"));
  return fields;
}

}  // namespace

std::vector<MetadataRow> read_metadata_jsonl(const std::string& path, const MetadataColumns& columns) {
  const std::string text = utf8_text(path), wanted = file_column(columns);
  std::vector<MetadataRow> rows;
  for_each_json_line(text, path, [&](const Json& row, int64_t line) {
    const auto name = row.find(wanted);
    if (name == row.end() || !name->is_string()) {
      std::vector<std::string> present;
      for (const auto& [key, value] : row.items()) present.push_back(key);
      no_column(path, line, wanted, present);
    }
    const auto caption = row.find(columns.caption);
    rows.push_back(
        {name->get<std::string>(),
         caption == row.end() ? std::vector<std::string>{} : captions_of(*caption, path, line, columns.caption), line});
  });
  return rows;
}

std::vector<MetadataRow> read_metadata_csv(const std::string& path, const MetadataColumns& columns) {
  const std::string text = utf8_text(path), wanted = file_column(columns);
  size_t at = 0;
  int64_t line = 1;
  const auto header = csv_record(text, at, line, path);
  const auto column = [&](const std::string& name) -> std::optional<size_t> {
    const auto found = std::find(header.begin(), header.end(), name);
    if (found == header.end()) return std::nullopt;
    return static_cast<size_t>(found - header.begin());
  };
  const auto file = column(wanted), caption = column(columns.caption);
  if (!file) no_column(path, 1, wanted, header);
  std::vector<MetadataRow> rows;
  while (at < text.size()) {
    const int64_t first_line = line;
    const auto fields = csv_record(text, at, line, path);
    if (fields.size() == 1 && trimmed(fields[0]).empty()) continue;
    if (fields.size() != header.size())
      throw BadFile(path, message("line ", first_line, " has ", fields.size(), " fields (expected ", header.size(),
                                  " as in the first line). Fix: put quotes around fields with commas"));
    MetadataRow row{fields[*file], {}, first_line};
    if (caption) row.captions.emplace_back(trimmed(fields[*caption]));
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace sara
