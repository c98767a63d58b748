// SPDX-License-Identifier: Apache-2.0
#include "sara/train/process_memory.h"

#include <fstream>
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

}  // namespace

int64_t resident_bytes() { return kilobyte_line("/proc/self/status", "VmRSS:"); }

int64_t peak_resident_bytes() { return kilobyte_line("/proc/self/status", "VmHWM:"); }

}  // namespace sara
