// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sara::cli {

// Tells mimalloc, where the program is linked with it, how long memory that was freed waits for its next use before it goes back to
// the system. What the environment says (MIMALLOC_DECOMMIT_DELAY) goes first.
void set_up_allocator();

}  // namespace sara::cli
