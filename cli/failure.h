// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <exception>
#include <string>

namespace sara::cli {

// What the user sees of an exception: exit code and text, one problem a line, without the prefix "sara: error: ".
// Lines that begin with a blank are detail of the problem above them.
struct Failure {
  int exit_code;
  std::string text;
};

// sara::Error as it says; any form of exhausted memory (libtorch's CPU allocator throws a plain c10::Error, CUDA an
// OutOfMemoryError, libraries bad_alloc) is 6 with remedies; everything else is a bug of ours: 70.
Failure failure_of(std::exception_ptr error);

}  // namespace sara::cli
