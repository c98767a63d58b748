// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <string_view>

namespace sara::cli {

// Results go to stdout through these two and nothing else.
// Throws ClosedOutput when the reader has gone (`sara inspect x | head -1`), IoError when stdout cannot take more.
void print(std::string_view text);
void flush_output();

// The reader of a pipe left: the program ends quietly.
struct ClosedOutput : std::exception {};

// Opens /dev/null in the place of a standard descriptor that the caller closed, so that no file we open later becomes
// "stdout"; and ignores SIGPIPE and SIGXFSZ, so that a closed pipe or a file beyond its limit is an error code and not
// death.
void secure_standard_streams();

}  // namespace sara::cli
