// SPDX-License-Identifier: Apache-2.0
#include "cli/allocator.h"

#if SARA_MIMALLOC
#include <mimalloc.h>
#endif

namespace sara::cli {

void set_up_allocator() {
#if SARA_MIMALLOC
  // By default it is 25 ms, and a step spends a tenth of its time on memory that comes back from the system cleared.
  constexpr long kMilliseconds = 300;
#if MI_MALLOC_VERSION < 210
  mi_option_set_default(mi_option_decommit_delay, kMilliseconds);
#else
  mi_option_set_default(mi_option_purge_delay, kMilliseconds);
#endif
#endif
}

}  // namespace sara::cli
