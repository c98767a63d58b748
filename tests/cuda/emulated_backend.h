// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>

namespace sara {

// The device of test_cuda_emulated (emulated_backend.cpp).
c10::Device emulated_device();

}  // namespace sara
