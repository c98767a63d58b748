// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>

#include <cstdio>
#include <sstream>

#include "cli/failure.h"
#include "cli/help.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "cli/version.h"
#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/base/tensor_memory.h"

namespace sara::cli {
namespace {

void run(const std::vector<std::string>& words) {
  auto commands = all_commands();
  if (words.empty() || words[0] == "-h" || words[0] == "--help" || words[0] == "help") {
    print(overview_text(commands));
    return;
  }
  if (words[0] == "--version") {
    print(std::string("sara ") + version() + " (" + commit() + ")\n");
    return;
  }
  std::vector<std::string> names;
  for (auto& command : commands) {
    names.push_back(command.name());
    if (command.name() != words[0]) continue;
    if (!command.parse({words.begin() + 1, words.end()})) return;
    set_quiet(command.global().quiet);
    if (command.global().threads) at::set_num_threads(static_cast<int>(*command.global().threads));
    command.run();
    return;
  }
  const auto near = nearest_name(words[0], names);
  throw InvalidArgument(message(escaped(words[0]), ": unknown verb. Fix: ", near ? "did you mean sara " + *near + "?" : "see sara --help"));
}

// One line an error; lines of a text that begin with a blank are detail of the error above them.
int report(const Failure& failure) {
  std::string text;
  std::istringstream lines(failure.text);
  for (std::string line; std::getline(lines, line);) text += (line.rfind(' ', 0) == 0 ? "" : "sara: error: ") + line + "\n";
  std::fwrite(text.data(), 1, text.size(), stderr);
  return failure.exit_code;
}

}  // namespace
}  // namespace sara::cli

int main(int argc, char** argv) {
  using namespace sara::cli;
  sara::pool_tensor_memory();
  secure_standard_streams();
  try {
    run({argv + 1, argv + argc});
    flush_output();
    return 0;
  } catch (const ClosedOutput&) {
    return 0;
  } catch (...) {
    return report(failure_of(std::current_exception()));
  }
}
