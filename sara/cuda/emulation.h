// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>

namespace sara::cuda {

// How the grid of the tests runs.
struct Emulation {
  std::function<void(std::function<void()>)> record = nullptr;  // where it is set, told how to do each kernel's work again
  bool backwards = false;  // blocks and threads from the last to the first: a result that depends on their order shows itself
};
inline Emulation& emulation() {
  static Emulation state;
  return state;
}

// One block after the other, and in each phase one thread after the other, over shared memory that starts as NaN.
template <class Kernel>
void emulate(const Kernel& kernel, int64_t blocks) {
  const bool backwards = emulation().backwards;
  if (const auto record = emulation().record) record([kernel, blocks] { emulate(kernel, blocks); });
  const auto shared = std::make_unique<typename Kernel::Shared>();
  for (int64_t b = 0; b < blocks; ++b) {
    std::memset(static_cast<void*>(shared.get()), 0xff, sizeof(typename Kernel::Shared));
    for (int phase = 0; phase < Kernel::kPhases; ++phase)
      for (int t = 0; t < Kernel::kThreads; ++t) kernel.phase(phase, *shared, backwards ? blocks - 1 - b : b, backwards ? Kernel::kThreads - 1 - t : t);
  }
}

}  // namespace sara::cuda
