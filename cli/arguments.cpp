// SPDX-License-Identifier: Apache-2.0
#include "cli/arguments.h"

#include <algorithm>
#include <cctype>
#include <map>

#include "cli/aliases.h"
#include "sara/base/message.h"

namespace sara::cli {
namespace {

bool is_flag(const std::string& word) {
  return word.size() > 2 && word[0] == '-' && word[1] == '-' && std::isalpha(static_cast<unsigned char>(word[2]));
}

std::string snake_case(std::string name) {
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

}  // namespace

ArgumentReader::ArgumentReader(Command& command, const std::vector<std::string>& words) : command_(command) {
  for (size_t at = 0; at < words.size();) {
    const auto& word = words[at];
    if (word == "--") {
      positionals_.insert(positionals_.end(), words.begin() + at + 1, words.end());
      break;
    }
    if (word == "-h" || word == "--help") {
      help_asked_ = true;
      ++at;
    } else if (is_flag(word)) {
      at = read_flag(words, at);
    } else if (word.size() > 1 && word[0] == '-') {
      problems_.push_back(message(escaped(word), ": unknown flag. Fix: see sara ", command_.name(), " --help"));
      ++at;
    } else {
      positionals_.push_back(word);
      ++at;
    }
  }
}

size_t ArgumentReader::value_count(const std::vector<std::string>& words, size_t from) const {
  size_t end = from;
  while (end < words.size() && !is_flag(words[end]) && words[end] != "--" && words[end] != "-h") ++end;
  return end - from;
}

size_t ArgumentReader::read_flag(const std::vector<std::string>& words, size_t at) {
  const auto& word = words[at];
  const size_t equals = word.find('=');
  const std::string shown = escaped(word.substr(0, equals)), name = snake_case(word.substr(2, equals - 2));
  const bool has_value = equals != std::string::npos;
  const std::string value = has_value ? word.substr(equals + 1) : "";

  Field* field = command_.find(name);
  if (!field && name.rfind("no_", 0) == 0) {
    Field* positive = command_.find(name.substr(3));
    if (positive && positive->is_switch() && !has_value) {
      values_.push_back({positive, shown, false});
      return at + 1;
    }
  }
  if (!field) {
    problems_.push_back(command_.unknown(shown, name));
    return at + 1 + (has_value ? 0 : value_count(words, at + 1));  // its values are no positionals
  }
  const auto read = [&](const std::string& text) {
    std::string problem;
    Json parsed = field->parsed(alias_value(name, text), problem);
    if (problem.empty()) {
      values_.push_back({field, shown, std::move(parsed)});
    } else {
      problems_.push_back(message(shown, ": ", problem));
    }
  };
  if (const auto fixed = alias_fixed_value(name); fixed && field->name != name) {
    if (has_value) {
      problems_.push_back(message(shown, ": takes no value"));
    } else {
      read(*fixed);
    }
    return at + 1;
  }
  if (const auto only = alias_only_value(name); only && field->name != name) {
    const size_t count = has_value ? 0 : std::min<size_t>(value_count(words, at + 1), 1);
    const std::string given = has_value ? value : count ? words[at + 1] : "nothing";
    if (given == *only) {
      values_.push_back({field, shown, true});
    } else {
      problems_.push_back(message(shown, ": not supported (expected ", *only, ", got ", escaped(given), "). Fix: use ", field->flag()));
    }
    return at + 1 + count;
  }
  if (has_value) {
    read(value);
    return at + 1;
  }
  if (field->is_switch()) {
    values_.push_back({field, shown, true});
    return at + 1;
  }
  size_t count = value_count(words, at + 1);
  if (count == 0) {
    problems_.push_back(message(shown, ": its value is missing (expected a ", field->kind(), ")"));
    return at + 1;
  }
  if (!field->is_list() || !command_.positionals().empty()) count = 1;
  for (size_t i = 1; i <= count; ++i) read(words[at + i]);
  return at + 1 + count;
}

Json ArgumentReader::given(const std::string& field) const {
  Json out;
  for (const auto& value : values_) {
    if (value.field->name == field) out = value.value;
  }
  return out;
}

void ArgumentReader::apply(std::vector<std::string>& problems) {
  std::map<Field*, Json> lists;  // a repeated list flag adds to the ones before it, and together they replace the file's
  for (auto& [field, shown, value] : values_) {
    if (field->is_list()) {
      auto& list = lists[field];
      if (list.is_null()) list = Json::array();
      list.insert(list.end(), value.begin(), value.end());
    }
    if (auto problem = field->assign(field->is_list() ? lists[field] : value, shown)) problems.push_back(shown + ": " + *problem);
  }
  size_t next = 0;
  for (const auto& positional : command_.positionals()) {
    if (positional.many) {
      positional.many->assign(positionals_.begin() + next, positionals_.end());
      next = positionals_.size();
    } else if (next < positionals_.size()) {
      *positional.one = positionals_[next++];
    } else if (positional.required) {
      problems.push_back(message(positional.name, ": missing (expected ", positional.help, "). Fix: see sara ", command_.name(), " --help"));
    }
  }
  if (next < positionals_.size()) {
    problems.push_back(message("unexpected argument ", escaped(positionals_[next]), ". Fix: see sara ", command_.name(), " --help"));
  }
}

}  // namespace sara::cli
