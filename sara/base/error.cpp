// SPDX-License-Identifier: Apache-2.0
#include "sara/base/error.h"

#include <cstring>

namespace sara {
namespace {

std::string at_byte(const std::string& reason, std::optional<uint64_t> offset) {
  return offset ? message("byte ", *offset, ": ", reason) : reason;
}

// The system's reason stands before the advice: "action: reason. Fix: ...".
std::string with_reason(const std::string& action, int code) {
  const std::string reason = message(": ", std::strerror(code));
  const auto advice = action.find(". Fix: ");
  return advice == std::string::npos ? action + reason : action.substr(0, advice) + reason + action.substr(advice);
}

}  // namespace

BadFile::BadFile(const std::string& path, const std::string& reason, std::optional<uint64_t> offset)
    : Error(message(escaped(path), ": ", at_byte(reason, offset)), 3), path_(path), reason_(reason), offset_(offset) {}

IoError::IoError(const std::string& path, const std::string& action, int code)
    : Error(message(escaped(path), ": ", with_reason(action, code)), 4), path_(path), code_(code) {}

}  // namespace sara
