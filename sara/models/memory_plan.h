// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/models/unet_config.h"
#include "sara/ops/memory_level.h"

#include <cstdint>
#include <string>

namespace sara {

// The size of one forward pass.
struct PassSize {
  int64_t batch = 1;
  int64_t height = 64, width = 64;  // of the latents
  int64_t text_tokens = 77;
  int64_t element_size = 4;  // bytes a number of the model's dtype
};

// Bytes that a denoiser, all of whose weights are trained, keeps between forward and backward, added up block by block. At
// MemoryLevel::checkpoint the largest block, which backward runs again, counts too.
int64_t kept_bytes(const UNetConfig& config, const PassSize& size, MemoryLevel level);

// "N0", "N1", "N2" or "checkpoint". Throws InvalidArgument for another name.
MemoryLevel memory_level(const std::string& name);
std::string memory_level_name(MemoryLevel level);

// The fastest level whose kept_bytes fit into `available`; checkpoint when none does.
MemoryLevel fitting_memory_level(const UNetConfig& config, const PassSize& size, int64_t available);

}  // namespace sara
