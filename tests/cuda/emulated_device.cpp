// SPDX-License-Identifier: Apache-2.0
// The emulated grid on the emulated device as the kernels' device.
#include "sara/cuda/emulation.h"
#include "sara/cuda/functions.h"
#include "tests/cuda/device.h"
#include "tests/cuda/emulated_backend.h"

namespace sara {

torch::Device kernel_device() { return emulated_device(); }
std::string why_no_device() { return ""; }

ByKernels::ByKernels(bool backwards) { cuda::emulation().backwards = backwards; }
ByKernels::~ByKernels() { cuda::emulation().backwards = false; }

namespace cuda {

const Kernels* kernels(const torch::Device& device) { return device == emulated_device() ? &kTable : nullptr; }

}  // namespace cuda
}  // namespace sara
