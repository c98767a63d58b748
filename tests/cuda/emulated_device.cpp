// SPDX-License-Identifier: Apache-2.0
// The emulated grid as the kernels' device.
#include "sara/cuda/emulation.h"
#include "sara/cuda/functions.h"
#include "tests/cuda/device.h"

namespace sara {

torch::Device kernel_device() { return torch::kCPU; }
std::string why_no_device() { return ""; }

ByKernels::ByKernels(bool backwards) { cuda::emulation() = {true, backwards}; }
ByKernels::~ByKernels() { cuda::emulation() = {}; }

namespace cuda {

const Kernels* kernels(const torch::Device& device) { return emulation().on && device.is_cpu() ? &kTable : nullptr; }

}  // namespace cuda
}  // namespace sara
