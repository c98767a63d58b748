// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/models/denoiser.h"
#include "sara/models/mmdit_config.h"
#include "sara/models/unet_config.h"
#include "sara/ops/memory_level.h"

#include <cstdint>
#include <string>

namespace sara {

// Bytes that a denoiser, all of whose weights are trained, keeps between forward and backward, added up block by block. At
// MemoryLevel::checkpoint the largest block, which backward runs again, counts too.
int64_t kept_bytes(const UNetConfig& config, const PassSize& size, MemoryLevel level);
int64_t kept_bytes(const MmditConfig& config, const PassSize& size, MemoryLevel level);  // equal at N0, N1 and N2

// "N0", "N1", "N2" or "checkpoint". Throws InvalidArgument for another name.
MemoryLevel memory_level(const std::string& name);
std::string memory_level_name(MemoryLevel level);

// The fastest level at which what the denoiser keeps fits into `available` bytes; checkpoint when none does.
MemoryLevel fitting_memory_level(const Denoiser& denoiser, const PassSize& size, int64_t available);

}  // namespace sara
