// SPDX-License-Identifier: Apache-2.0
#include "sara/train/process_memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
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

int64_t number_in(const char* path) {  // "max" and a missing file mean no limit
  std::ifstream file(path);
  int64_t value = 0;
  return file >> value ? value : std::numeric_limits<int64_t>::max();
}

}  // namespace

int64_t resident_bytes() { return kilobyte_line("/proc/self/status", "VmRSS:"); }

int64_t peak_resident_bytes() { return kilobyte_line("/proc/self/status", "VmHWM:"); }

int64_t available_bytes() {
  const int64_t machine = kilobyte_line("/proc/meminfo", "MemAvailable:");
  const int64_t limit = number_in("/sys/fs/cgroup/memory.max");
  if (limit == std::numeric_limits<int64_t>::max()) return machine;
  const int64_t used = number_in("/sys/fs/cgroup/memory.current");
  return used == std::numeric_limits<int64_t>::max() ? machine : std::min(machine, std::max<int64_t>(0, limit - used));
}

}  // namespace sara
