// SPDX-License-Identifier: Apache-2.0
#include "cli/failure.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <new>

#include "sara/base/error.h"

namespace sara::cli {
namespace {

const char* const kRemedies =
    ". Fix: use a smaller --batch-size, a lower --resolution, or a lower --precision (bf16)";

std::string first_line(const std::string& text) { return escaped(text.substr(0, text.find('\n'))); }

Failure out_of_memory(const std::string& reason) { return {6, "out of memory: " + reason + kRemedies}; }

Failure internal(const std::string& reason) {
  return {70, "internal error: " + reason + ". Fix: this is a bug in sara; please report this line and the command"};
}

}  // namespace

Failure failure_of(std::exception_ptr error) {
  try {
    std::rethrow_exception(error);
  } catch (const InternalError& e) {
    return internal(first_line(e.what()));
  } catch (const Error& e) {
    return {e.exit_code(), e.what()};
  } catch (const c10::OutOfMemoryError& e) {
    return out_of_memory(first_line(e.what_without_backtrace()));
  } catch (const c10::Error& e) {
    const std::string text = e.what_without_backtrace();
    const auto at = text.find("DefaultCPUAllocator: can't allocate memory");
    if (at != std::string::npos) return out_of_memory(first_line(text.substr(at)));
    return internal(first_line(text));
  } catch (const std::bad_alloc&) {
    return out_of_memory("the system gave no more");
  } catch (const std::exception& e) {
    return internal(first_line(e.what()));
  } catch (...) {
    return internal("unknown exception");
  }
}

}  // namespace sara::cli
