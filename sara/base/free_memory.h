// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sara {

// "mimalloc" in a program that is linked with it, otherwise "of the C library".
const char* allocator_name();

// Gives free memory that the allocator holds on to back to the system, when it is more than this where that is known. Activations of many sizes
// come and go: without it the process stays as large as its fullest moment while other buffers grow.
void give_back_free_memory(int64_t more_than_bytes);

}  // namespace sara
