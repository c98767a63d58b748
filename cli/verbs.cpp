// SPDX-License-Identifier: Apache-2.0
#include "cli/verbs.h"

namespace sara::cli {

std::vector<Command> all_commands() {
  return {
      train_command(),
      generate_command(),
      evaluate_command(),
      merge_command(),
      extract_command(),
      convert_command(),
      inspect_command(),
      verify_command(),
      pretrain_command(),
      bench_command(),
      config_command(),
      doctor_command(),
  };
}

}  // namespace sara::cli
