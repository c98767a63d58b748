// SPDX-License-Identifier: Apache-2.0
#include "cli/verbs.h"

namespace sara::cli {

std::vector<Command> all_commands() {
  return {
      config_command(),
      doctor_command(),
  };
}

}  // namespace sara::cli
