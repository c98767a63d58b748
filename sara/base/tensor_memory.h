// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sara {

// From now on tensors on the CPU of 32 KiB and more take their memory from one pool of the process (base/memory_pool.h), which may grow to
// the machine's memory; what is larger or smaller, and everything under a sanitizer, comes from libtorch's allocator as before. For
// programs whose steps repeat themselves; it stays for the life of the process.
void pool_tensor_memory();

// "pool" or "libtorch"
const char* tensor_memory();

// Gives memory that no tensor holds back to the system: when something large has ended for good. Between steps it would only cost time.
void give_back_free_memory();

}  // namespace sara
