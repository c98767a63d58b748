// SPDX-License-Identifier: Apache-2.0
#include "cli/command.h"

#include <cstdlib>

#include "cli/aliases.h"
#include "cli/arguments.h"
#include "cli/config_file.h"
#include "cli/help.h"
#include "cli/output.h"
#include "sara/base/error.h"

namespace sara::cli {

void refuse(const std::vector<std::string>& problems) {
  if (problems.empty()) return;
  std::string text;
  for (const auto& problem : problems) text += (text.empty() ? "" : "\n") + problem;
  throw InvalidArgument(text);
}

Command::Command(std::string name, std::string help)
    : name_(std::move(name)), help_(std::move(help)), global_(std::make_shared<GlobalOptions>()) {
  add(*global_, "Every verb");
}

Command& Command::example(std::string line) {
  examples_.push_back(std::move(line));
  return *this;
}

Command& Command::add_fields(std::vector<Field> fields) {
  for (auto& field : fields) {
    for (const auto& known : fields_) SARA_CHECK(known.name != field.name, name_, " has two options named ", field.name);
    fields_.push_back(std::move(field));
  }
  return *this;
}

Command& Command::positional(const std::string& name, std::string& target, const std::string& help, bool required) {
  positionals_.push_back({name, help, required, &target, nullptr});
  return *this;
}

Command& Command::positional(const std::string& name, std::vector<std::string>& target, const std::string& help) {
  positionals_.push_back({name, help, false, nullptr, &target});
  return *this;
}

Command& Command::on_run(std::function<void(const Command&)> run) {
  run_ = std::move(run);
  return *this;
}

Field* Command::find(const std::string& name) {
  auto names = alias_targets(name);
  names.insert(names.begin(), name);
  for (const auto& wanted : names) {
    for (auto& field : fields_) {
      if (field.name == wanted) return &field;
    }
  }
  return nullptr;
}

std::string Command::unknown(const std::string& shown, const std::string& name) const {
  const bool is_flag = shown.rfind("--", 0) == 0;
  const std::string what = is_flag ? "flag" : "key";
  if (const auto reason = unsupported_reason(name)) return message(shown, ": not supported: ", *reason);
  std::vector<std::string> known;
  for (const auto& field : fields_) {
    known.push_back(field.name);
    for (const auto& alias : aliases_of(field.name)) known.push_back(alias);
  }
  const auto near = nearest_name(name, known);
  if (!near) return message(shown, ": unknown ", what, ". Fix: see sara ", name_, " --help");
  std::string hint = *near;
  for (const auto& field : fields_) {
    if (is_flag && field.name == *near) hint = field.flag();
  }
  return message(shown, ": unknown ", what, ". Fix: did you mean ", is_flag && hint == *near ? "--" : "", hint, "?");
}

bool Command::parse(const std::vector<std::string>& arguments) {
  ArgumentReader reader(*this, arguments);
  if (reader.help_asked()) {
    print(help_text(*this));
    return false;
  }
  auto problems = reader.problems();
  Json file = reader.given("config");
  if (const char* path = std::getenv("SARA_CONFIG"); file.is_null() && path) file = path;
  if (file.is_string()) apply_file(file.get<std::string>(), problems);
  apply_environment(problems);
  reader.apply(problems);
  refuse(problems);
  return true;
}

void Command::check_file(const std::string& path) {
  std::vector<std::string> problems;
  apply_file(path, problems);
  refuse(problems);
}

void Command::apply_file(const std::string& path, std::vector<std::string>& problems) {
  for (const auto& entry : read_config(path)) {
    Field* field = find(entry.key);
    if (!field || field->name == "config") {
      problems.push_back(entry.where + ": " + unknown(entry.key, entry.key));
    } else if (alias_fixed_value(entry.key) && field->name != entry.key) {
      problems.push_back(message(entry.where, ": ", entry.key, ": is a flag only. Fix: write ", field->name, " = \"", *alias_fixed_value(entry.key), "\""));
    } else if (auto problem = field->assign(entry.value, entry.where)) {
      problems.push_back(message(entry.where, ": ", entry.key, ": ", *problem));
    }
  }
}

void Command::apply_environment(std::vector<std::string>& problems) {
  for (auto& field : fields_) {
    const char* text = std::getenv(field.environment().c_str());
    if (!text) continue;
    std::string problem;
    const Json value = field.parsed(text, problem);
    if (problem.empty()) problem = field.assign(value, field.environment()).value_or("");
    if (!problem.empty()) problems.push_back(message(field.environment(), ": ", problem));
  }
}

Json Command::resolved() const {
  Json out = Json::object();
  for (const auto& field : fields_) {
    if (field.group != "Every verb") out[field.name] = field.value();
  }
  return out;
}

}  // namespace sara::cli
