// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

#include "sara/base/message.h"

namespace sara {

// Every error a user can cause or meet. The text reads `<what>: <reason> (expected X, got Y). Fix: <action>`;
// the command line shows it in one line behind `sara: error: ` and exits with `exit_code`.
class Error : public std::runtime_error {
 public:
  Error(const std::string& text, int exit_code) : std::runtime_error(text), exit_code_(exit_code) {}
  int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

// A flag, option, config key or argument is wrong. Exit 2, Python ValueError.
class InvalidArgument : public Error {
 public:
  explicit InvalidArgument(const std::string& text) : Error(text, 2) {}
};

// A file's content is wrong. Exit 3. `offset` is the byte where the trouble was seen, when there is one.
class BadFile : public Error {
 public:
  BadFile(const std::string& path, const std::string& reason, std::optional<uint64_t> offset = std::nullopt);
  const std::string& path() const { return path_; }
  const std::string& reason() const { return reason_; }
  std::optional<uint64_t> offset() const { return offset_; }

 private:
  std::string path_, reason_;
  std::optional<uint64_t> offset_;
};

// The operating system refused (open, write, fsync, lock, ...). Exit 4. `code` is errno.
class IoError : public Error {
 public:
  IoError(const std::string& path, const std::string& action, int code);
  const std::string& path() const { return path_; }
  int code() const { return code_; }

 private:
  std::string path_;
  int code_;
};

// Training left the finite numbers. Exit 5.
class NonFinite : public Error {
 public:
  explicit NonFinite(const std::string& text) : Error(text, 5) {}
};

// Not enough RAM or GPU memory. Exit 6.
class OutOfMemory : public Error {
 public:
  explicit OutOfMemory(const std::string& text) : Error(text, 6) {}
};

// A broken promise inside the library. Exit 70.
class InternalError : public Error {
 public:
  explicit InternalError(const std::string& text) : Error(text, 70) {}
};

// For what cannot happen unless the library itself is wrong; bad input has its own errors.
#define SARA_CHECK(condition, ...)                                                                     \
  do {                                                                                                 \
    if (!(condition))                                                                                  \
      throw ::sara::InternalError(::sara::message(__FILE__, ":", __LINE__, ": ", #condition, " fails. ", \
                                                  ##__VA_ARGS__));                                     \
  } while (false)

}  // namespace sara
