// SPDX-License-Identifier: Apache-2.0
#include "sara/train/memory_options.h"

#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/base/message.h"
#include "sara/train/process_memory.h"

namespace sara {
void check_memory_options(const MemoryOptions& options) {
  if (options.memory != "auto" && options.memory_budget)
    throw InvalidArgument(message("memory_budget: no effect with memory ", options.memory, ". Fix: leave it out, or use memory auto"));
}

MemoryLevel choose_memory_level(Denoiser& denoiser, const PassSize& size, const MemoryOptions& options, int64_t still_to_come, int64_t processes) {
  check_memory_options(options);
  if (options.memory != "auto") {
    const MemoryLevel level = memory_level(options.memory);
    denoiser.set_memory_level(level);
    return level;
  }
  const double budget = options.memory_budget ? *options.memory_budget * 1e9 : double(resident_bytes()) + 0.9 * double(available_bytes()) / double(processes);
  const int64_t working = denoiser.kept_bytes(size, MemoryLevel::checkpoint);  // a block's worth, beside what is kept
  const int64_t left = static_cast<int64_t>(budget) - resident_bytes() - still_to_come - working;
  const MemoryLevel level = fitting_memory_level(denoiser, size, left);
  const double kept = double(denoiser.kept_bytes(size, level));
  if (kept > double(left))
    log_warning(message("memory: about ", (budget - double(left) + kept) / 1e9, " GB will be taken, more than the ", budget / 1e9,
                        " GB there are. Fix: a smaller batch with gradient accumulation, a lower resolution, or --precision bf16"));
  denoiser.set_memory_level(level);
  return level;
}

}  // namespace sara
