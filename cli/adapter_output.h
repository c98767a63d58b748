// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace sara::cli {

// Throws InvalidArgument unless `output` names a .safetensors file, IoError when it exists and is not to be overwritten.
void require_adapter_output(const std::string& output, bool overwrite);

}  // namespace sara::cli
