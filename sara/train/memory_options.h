// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "sara/base/options.h"
#include "sara/models/memory_plan.h"

namespace sara {

// How much of the forward pass the denoiser keeps for the backward pass: less memory for more time, the same gradients.
struct MemoryOptions {
  std::string memory = "auto";
  std::optional<double> memory_budget;

  template <class V>
  void visit(V&& v) {
    v("memory", memory, "What is kept between forward and backward, from fastest to smallest: N0, N1 (the feed-forward's inner activations are computed again), N2 (queries, keys and values too), checkpoint (whole blocks); auto takes the fastest that fits",
      one_of({"auto", "N0", "N1", "N2", "checkpoint"}));
    v("memory_budget", memory_budget, "GB (10^9 bytes) that the process may take; for memory auto (default: nine tenths of what is free)", above(0));
  }
};

// Throws InvalidArgument for a budget without auto.
void check_memory_options(const MemoryOptions& options);

// Of a trained weight, before the first step: gradient and moments, memory that nothing has touched yet.
constexpr int64_t kStateBytes = 12;

// Sets the denoiser's memory level and returns it. With auto: the fastest level whose kept bytes, with the process as it is,
// `still_to_come` bytes and what one block needs while it runs, stay in the budget; a warning when not even checkpoint does.
// `processes` of the run share what is free on this machine. Throws what check_memory_options() throws.
MemoryLevel choose_memory_level(Denoiser& denoiser, const PassSize& size, const MemoryOptions& options, int64_t still_to_come, int64_t processes = 1);

}  // namespace sara
