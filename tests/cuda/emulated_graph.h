// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>

namespace sara {

// What the emulated device (emulated_backend.cpp) and its grid tell of themselves so that their work can be recorded.
bool is_recording();
// `again` does what has just been done once more, at the same places.
void record_work(std::function<void()> again);

// Memory of the device: while it records, what is given back stays until the graph goes.
void* device_memory(size_t bytes);
void give_back(void* memory);

}  // namespace sara
