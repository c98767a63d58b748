// SPDX-License-Identifier: Apache-2.0
#include "cli/adapter_output.h"

#include <cerrno>
#include <filesystem>

#include "sara/base/error.h"

namespace sara::cli {

void require_adapter_output(const std::string& output, bool overwrite) {
  if (output.empty()) throw InvalidArgument("--output: missing. Fix: add --output FILE.safetensors");
  if (std::filesystem::path(output).extension() != ".safetensors") {
    throw InvalidArgument(message("--output: the file's name ends in .safetensors (got ", escaped(output), "). Fix: add the ending"));
  }
  if (std::filesystem::exists(output) && !overwrite) throw IoError(output, "the output exists. Fix: add --overwrite, or choose another --output", EEXIST);
}

}  // namespace sara::cli
