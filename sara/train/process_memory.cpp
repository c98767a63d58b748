// SPDX-License-Identifier: Apache-2.0
#include "sara/train/process_memory.h"

#include <algorithm>
#include <fstream>
#include <optional>
#include <string>

namespace sara {
namespace {

// "Name:   123 kB" in one of the kernel's status files; 0 when the line is not there.
int64_t kilobyte_line(const char* path, const std::string& name) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.rfind(name, 0) == 0) return std::stoll(line.substr(name.size())) * 1024;
  }
  return 0;
}

// A file of one number; nothing when it is not there or says "max".
std::optional<int64_t> number_in(const char* path) {
  std::ifstream file(path);
  int64_t number = 0;
  return file >> number ? std::optional(number) : std::nullopt;
}

}  // namespace

int64_t available_bytes() {
  const int64_t machine = kilobyte_line("/proc/meminfo", "MemAvailable:");
  const auto limit = number_in("/sys/fs/cgroup/memory.max"), used = number_in("/sys/fs/cgroup/memory.current");
  return limit && used ? std::min(machine, *limit - *used) : machine;
}

int64_t resident_bytes() { return kilobyte_line("/proc/self/status", "VmRSS:"); }

int64_t peak_resident_bytes() { return kilobyte_line("/proc/self/status", "VmHWM:"); }

}  // namespace sara
