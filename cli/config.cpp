// SPDX-License-Identifier: Apache-2.0
#include "cli/config_file.h"
#include "cli/help.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "sara/base/error.h"

namespace sara::cli {
namespace {

struct ConfigOptions {
  bool origin = false;
  template <class V>
  void visit(V&& v) {
    v("origin", origin, "show: say where each value comes from");
  }
};

struct ConfigVerb {
  ConfigOptions options;
  std::string action, verb;
  std::vector<std::string> rest;
};

Command command_named(const std::string& name) {
  std::vector<std::string> names;
  for (auto& command : all_commands()) {
    if (command.name() == name) return command;
    names.push_back(command.name());
  }
  const auto near = nearest_name(name, names);
  throw InvalidArgument(message(escaped(name), ": unknown verb. Fix: ", near ? "did you mean " + *near + "?" : "see sara --help"));
}

std::string commented_file(const Command& command) {
  std::string out = "# sara " + command.name() + " --config THIS_FILE. A line without # changes the default shown.\n";
  for (const auto& field : command.fields()) {
    if (field.name == "config") continue;
    const auto notes = value_notes(field);
    out += "\n# " + field.help + (notes.empty() ? "" : " (" + notes + ")") + "\n# " + field.name + " = " +
           (field.default_value.is_null() ? "" : toml_value(field.default_value)) + "\n";
  }
  return out;
}

std::string shown(const Command& command, bool origin) {
  std::string out;
  for (const auto& field : command.fields()) {
    if (field.value().is_null() || field.name == "config") continue;
    out += field.name + " = " + toml_value(field.value()) + (origin ? "  # " + field.origin : "") + "\n";
  }
  return out;
}

void run_config(const ConfigVerb& verb) {
  if (verb.action == "reference") {
    print("# Options\n\nWritten by `sara config reference`. Names may also be typed in snake_case. `--config FILE.toml`, `--threads N`, "
          "`--quiet` and `--help` belong to every verb.\n");
    for (const auto& command : all_commands()) print("\n" + reference_text(command));
    return;
  }
  if (verb.action != "init" && verb.action != "check" && verb.action != "show") {
    throw InvalidArgument(message("ACTION: unknown value (expected init, check, show or reference, got ", escaped(verb.action), ")"));
  }
  if (verb.verb.empty()) throw InvalidArgument(message("VERB: missing. Fix: sara config ", verb.action, " train"));
  auto command = command_named(verb.verb);
  if (verb.action == "init") {
    print(commented_file(command));
  } else if (verb.action == "check") {
    if (verb.rest.size() != 1) throw InvalidArgument(message("FILE: missing. Fix: sara config check ", verb.verb, " FILE.toml"));
    command.check_file(verb.rest[0]);
    print(escaped(verb.rest[0]) + ": good for sara " + verb.verb + "\n");
  } else if (command.parse(verb.rest)) {
    print(shown(command, verb.options.origin));
  }
}

}  // namespace

Command config_command() {
  auto verb = std::make_shared<ConfigVerb>();
  Command command("config", "Write, check or show the settings of a verb");
  command.example("sara config init train > run.toml")
      .example("sara config check train run.toml")
      .example("sara config show --origin train -- --config run.toml --steps 100")
      .positional("ACTION", verb->action, "init, check, show or reference (the text of docs/options.md)")
      .positional("VERB", verb->verb, "the verb whose settings are meant", false)
      .positional("REST", verb->rest, "check: the file; show, behind --: the verb's flags")
      .add(verb->options)
      .on_run([verb](const Command&) { run_config(*verb); });
  return command;
}

}  // namespace sara::cli
