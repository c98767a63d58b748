// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>

#include <string>

namespace sara {

// "auto" (CUDA when there is one, else CPU), "cpu", "cuda" or "cuda:N". Throws InvalidArgument when CUDA was asked for
// and this build or this machine has none: nothing moves quietly to the CPU.
c10::Device device_from_name(const std::string& name);

}  // namespace sara
