// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "cli/command.h"

namespace sara::cli {

// Reads the words of a command line for one command:
//   --name VALUE   --name=VALUE   --switch   --no-switch   positional   -- (only positionals follow)   -h --help
// Names in kebab-case or snake_case, aliases included (cli/aliases.h). A list flag takes several values or is repeated;
// a value that begins with two dashes is written with `=`. Values arrive byte for byte.
class ArgumentReader {
 public:
  ArgumentReader(Command& command, const std::vector<std::string>& words);

  bool help_asked() const { return help_asked_; }
  const std::vector<std::string>& problems() const { return problems_; }
  // The value of a field given as a flag (null: not given), before anything is stored.
  Json given(const std::string& field) const;
  void apply(std::vector<std::string>& problems);  // stores flags and positionals

 private:
  struct Value {
    Field* field;
    std::string shown;  // the flag as the user wrote it
    Json value;
  };
  size_t read_flag(const std::vector<std::string>& words, size_t at);
  size_t value_count(const std::vector<std::string>& words, size_t from) const;

  Command& command_;
  std::vector<Value> values_;
  std::vector<std::string> positionals_, problems_;
  bool help_asked_ = false;
};

}  // namespace sara::cli
