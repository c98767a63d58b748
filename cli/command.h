// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <list>
#include <string>
#include <vector>

#include "cli/option_flags.h"

namespace sara::cli {

// Taken by every verb.
struct GlobalOptions {
  std::optional<std::string> config;
  std::optional<int64_t> threads;
  bool quiet = false;

  template <class V>
  void visit(V&& v) {
    v("config", config, "TOML file with values for these flags (keys in snake_case)");
    v("threads", threads, "CPU threads (default: torch's own choice)", between(1, 4096));
    v("quiet", quiet, "No progress on stderr, only warnings and errors");
  }
};

// One verb of the program: its help, its option structs and what it does. parse() fills the structs by the precedence
// flag > environment SARA_<NAME> > --config FILE > default and reports every problem at once.
class Command {
 public:
  Command(std::string name, std::string help);

  Command& example(std::string line);  // shown first in --help
  template <class Options>
  Command& add(Options& options, const std::string& group = "Options") {
    return add_fields(option_fields(options, group));
  }
  // Arguments without a flag, in this order. A text takes one; a list takes all that are left.
  Command& positional(const std::string& name, std::string& target, const std::string& help, bool required = true);
  Command& positional(const std::string& name, std::vector<std::string>& target, const std::string& help);
  Command& on_run(std::function<void(const Command&)> run);

  // Throws InvalidArgument, one problem a line. False: --help was asked and printed.
  bool parse(const std::vector<std::string>& arguments);
  // As parse(), with values from a TOML file alone (`sara config check`).
  void check_file(const std::string& path);
  void run() const { run_(*this); }

  const std::string& name() const { return name_; }
  const std::string& help() const { return help_; }
  const std::vector<std::string>& examples() const { return examples_; }
  const std::list<Field>& fields() const { return fields_; }
  const GlobalOptions& global() const { return *global_; }
  // name -> value of every field but the global ones, in order, null where nothing is set; written beside every result.
  Json resolved() const;

  struct Positional {
    std::string name, help;
    bool required;
    std::string* one;
    std::vector<std::string>* many;
  };
  const std::vector<Positional>& positionals() const { return positionals_; }

 private:
  friend class ArgumentReader;
  Command& add_fields(std::vector<Field> fields);
  Field* find(const std::string& name);  // by field name, or as an alias
  std::string unknown(const std::string& shown, const std::string& name) const;
  void apply_file(const std::string& path, std::vector<std::string>& problems);
  void apply_environment(std::vector<std::string>& problems);

  std::string name_, help_;
  std::vector<std::string> examples_;
  std::list<Field> fields_;
  std::vector<Positional> positionals_;
  std::function<void(const Command&)> run_;
  std::shared_ptr<GlobalOptions> global_;
};

// Throws InvalidArgument with one problem a line; does nothing when there is none.
void refuse(const std::vector<std::string>& problems);

}  // namespace sara::cli
