// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sara {

// Resident memory of this process in bytes: now, and the highest since it began (VmRSS and VmHWM of /proc/self/status).
int64_t resident_bytes();
int64_t peak_resident_bytes();

// Bytes that this process may still take without swapping: what the machine has available, or what is left of the control
// group's limit where that is less.
int64_t available_bytes();

}  // namespace sara
