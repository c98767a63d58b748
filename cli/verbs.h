// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "cli/command.h"

namespace sara::cli {

// One function per verb, each in its own file.
Command train_command();
Command pretrain_command();
Command bench_command();
Command generate_command();
Command evaluate_command();
Command merge_command();
Command extract_command();
Command convert_command();
Command inspect_command();
Command verify_command();
Command config_command();
Command doctor_command();

// All of them, in the order of `sara --help`.
std::vector<Command> all_commands();

}  // namespace sara::cli
