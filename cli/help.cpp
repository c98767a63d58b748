// SPDX-License-Identifier: Apache-2.0
#include "cli/help.h"

#include <sstream>

#include "cli/aliases.h"
#include "cli/config_file.h"

namespace sara::cli {
namespace {

constexpr size_t kColumn = 30, kWidth = 110;

std::string placeholder(const Field& field) {
  if (field.is_switch()) return "";
  if (!field.legal.choices.empty()) return " NAME";
  const auto kind = field.kind();
  return kind == "whole number" ? " N" : kind == "number" ? " X" : " TEXT";
}

std::string shown_flag(const Field& field) {
  const bool on = field.default_value.is_boolean() && field.default_value.get<bool>();
  return (on ? "--no-" + field.flag().substr(2) : field.flag()) + placeholder(field) + (field.is_list() ? "..." : "");
}

// A line "  left   text", the text broken at blanks to the width of the page.
std::string entry(const std::string& left, const std::string& text) {
  std::ostringstream out;
  out << "  " << left;
  size_t column = left.size() + 2;
  const auto new_line = [&] {
    out << "\n" << std::string(kColumn, ' ');
    column = kColumn;
  };
  if (column + 2 > kColumn) {
    new_line();
  } else {
    out << std::string(kColumn - column, ' ');
    column = kColumn;
  }
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (column + word.size() + 1 > kWidth) new_line();
    if (column > kColumn) out << ' ', ++column;
    out << word;
    column += word.size();
  }
  out << "\n";
  return out.str();
}

std::string usage(const Command& command) {
  std::string out = "sara " + command.name() + " [flags]";
  for (const auto& positional : command.positionals()) {
    out += positional.required ? " " + positional.name : " [" + positional.name + (positional.many ? "...]" : "]");
  }
  return out;
}

}  // namespace

std::string value_notes(const Field& field) {
  std::string out;
  const auto& value = field.default_value;
  if (field.is_switch() && value.is_boolean()) {
    if (value.get<bool>()) out = "default on";
  } else if (!value.is_null() && value != Json::array() && value != "") {
    out = "default " + (value.is_string() ? value.get<std::string>() : toml_value(value));
  }
  const auto legal = field.legal.text();
  if (legal != "any value") out += (out.empty() ? "" : ", ") + legal;
  return out;
}

std::string help_text(const Command& command) {
  std::ostringstream out;
  out << command.help() << "\n\n";
  for (const auto& line : command.examples()) out << "  " << line << "\n";
  out << (command.examples().empty() ? "" : "\n") << "Usage: " << usage(command) << "\n";
  if (!command.positionals().empty()) out << "\n";
  for (const auto& positional : command.positionals()) out << entry(positional.name, positional.help);
  std::vector<std::string> groups;
  for (const auto& field : command.fields()) {
    if (field.group != "Every verb" && (groups.empty() || groups.back() != field.group)) groups.push_back(field.group);
  }
  groups.push_back("Every verb");
  for (const auto& group : groups) {
    out << "\n" << group << ":\n";
    for (const auto& field : command.fields()) {
      if (field.group != group) continue;
      const auto notes = value_notes(field);
      out << entry(shown_flag(field), field.help + (notes.empty() ? "" : " (" + notes + ")"));
    }
  }
  out << entry("-h, --help", "This text");
  out << "\nEvery flag can also be set by environment (SARA_STEPS for --steps) or in a --config file (steps = 30).\n";
  return out.str();
}

std::string overview_text(const std::vector<Command>& commands) {
  std::ostringstream out;
  out << "sara fine-tunes Stable Diffusion by training only the weights that do nothing yet (SaRA).\n\n"
      << "Usage: sara VERB [flags]      sara VERB --help      sara --version\n\n";
  for (const auto& command : commands) out << entry(command.name(), command.help());
  out << "\nWithout --model the small model that comes with sara is used.\n";
  return out.str();
}

std::string reference_text(const Command& command) {
  std::ostringstream out;
  out << "## sara " << command.name() << "\n\n" << command.help() << ".\n\n```\n";
  for (const auto& line : command.examples()) out << line << "\n";
  out << usage(command) << "\n```\n\n";
  for (const auto& positional : command.positionals()) out << "- `" << positional.name << "`: " << positional.help << "\n";
  if (!command.positionals().empty()) out << "\n";
  bool first = true;
  for (const auto& field : command.fields()) {
    if (field.group == "Every verb") continue;
    if (first) out << "| flag | meaning | value | also known as |\n|---|---|---|---|\n";
    first = false;
    std::string aliases;
    for (const auto& alias : aliases_of(field.name)) aliases += (aliases.empty() ? "`--" : ", `--") + alias + "`";
    out << "| `" << shown_flag(field) << "` | " << field.help << " | " << value_notes(field) << " | " << aliases << " |\n";
  }
  return out.str();
}

}  // namespace sara::cli
