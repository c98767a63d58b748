// SPDX-License-Identifier: Apache-2.0
#include "cli/failure.h"

#include <c10/util/Exception.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <new>

#include "sara/base/error.h"

namespace sara::cli {
namespace {

const char* const kRemedies =
    ". Fix: use a smaller --batch-size, smaller pictures (--resolution, or --width and --height), or --precision bf16";
const char* const kCpuAllocator = "DefaultCPUAllocator: can't allocate memory: you tried to allocate ";

std::string first_line(const std::string& text) { return escaped(text.substr(0, text.find('\n'))); }

Failure out_of_memory(const std::string& reason) { return {6, "out of memory: " + reason + kRemedies}; }

std::string gigabytes(double bytes) { return message(std::round(bytes / 1e7) / 100, " GB"); }

// What the machine could still give; the process may have a lower limit of its own.
std::string free_memory() {
  std::ifstream file("/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("MemAvailable:", 0) == 0) return gigabytes(std::strtod(line.c_str() + 13, nullptr) * 1024);
  }
  return "an unknown amount";
}

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
    const auto at = text.find(kCpuAllocator);
    if (at != std::string::npos) {
      const double wanted = std::strtod(text.c_str() + at + std::string(kCpuAllocator).size(), nullptr);
      return out_of_memory(message("one more piece of ", gigabytes(wanted), " was needed, ", free_memory(), " is free on this machine"));
    }
    return internal(first_line(text));
  } catch (const std::bad_alloc&) {
    return out_of_memory(message("the system gave no more, ", free_memory(), " is free on this machine"));
  } catch (const std::exception& e) {
    return internal(first_line(e.what()));
  } catch (...) {
    return internal("unknown exception");
  }
}

}  // namespace sara::cli
