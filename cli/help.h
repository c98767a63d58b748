// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "cli/command.h"

namespace sara::cli {

// What `sara VERB --help` prints: examples first, then every flag with its meaning, default and legal range.
std::string help_text(const Command& command);

// What `sara --help` prints.
std::string overview_text(const std::vector<Command>& commands);

// A verb's chapter of docs/options.md.
std::string reference_text(const Command& command);

// "default 7.5, >= 0": what --help says behind a flag's meaning.
std::string value_notes(const Field& field);

}  // namespace sara::cli
