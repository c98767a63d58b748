// SPDX-License-Identifier: Apache-2.0
#include "sara/base/log.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <string>

namespace sara {
namespace {

using Clock = std::chrono::steady_clock;

std::mutex mutex;
std::atomic<bool> is_quiet{false}, is_silent{false};
bool line_open = false;  // a redrawn line waits for its newline
std::optional<Clock::time_point> last_plain;

bool is_terminal() {
  static const bool value = [] {
    const char* term = std::getenv("TERM");
    return isatty(STDERR_FILENO) && !(term && std::strcmp(term, "dumb") == 0);
  }();
  return value;
}

void write_line(std::string_view prefix, std::string_view text) {
  const std::lock_guard lock(mutex);
  std::string line = line_open ? "\n" : "";
  line.append(prefix).append(text).append("\n");
  line_open = false;
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace

void log_info(std::string_view text) {
  if (!is_quiet && !is_silent) write_line("", text);
}

void log_warning(std::string_view text) {
  if (!is_silent) write_line("sara: warning: ", text);
}

void log_progress(std::string_view text, bool last, double plain_seconds) {
  if (is_quiet || is_silent) return;
  if (is_terminal()) {
    const std::lock_guard lock(mutex);
    std::string line = "\r\x1b[K";
    line.append(text);
    if (last) line += "\n";
    line_open = !last;
    std::fwrite(line.data(), 1, line.size(), stderr);
    return;
  }
  const auto now = Clock::now();
  if (!last && last_plain && std::chrono::duration<double>(now - *last_plain).count() < plain_seconds) return;
  last_plain = now;
  write_line("", text);
}

void set_quiet(bool quiet) { is_quiet = quiet; }
void set_silent(bool silent) { is_silent = silent; }

}  // namespace sara
