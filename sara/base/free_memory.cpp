// SPDX-License-Identifier: Apache-2.0
#include "sara/base/free_memory.h"

#include <cstdlib>  // which defines __GLIBC__

#if defined(__GLIBC__)
#include <malloc.h>
#endif

extern "C" __attribute__((weak)) void mi_collect(bool force);  // mimalloc's, where the program is linked with it

namespace sara {

const char* allocator_name() { return mi_collect ? "mimalloc" : "of the C library"; }

void give_back_free_memory([[maybe_unused]] int64_t more_than_bytes) {
  if (mi_collect) return mi_collect(true);
#if defined(__GLIBC__)
  if (static_cast<int64_t>(mallinfo2().fordblks) > more_than_bytes) malloc_trim(0);
#endif
}

}  // namespace sara
