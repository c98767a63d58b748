// SPDX-License-Identifier: Apache-2.0
// A GPU as the kernels' device.
#include <ATen/Context.h>

#include "tests/cuda/device.h"

namespace sara {

torch::Device kernel_device() { return {torch::kCUDA, 0}; }

std::string why_no_device() {
  if (!at::detail::getCUDAHooks().isBuilt()) return "this torch has no CUDA";
  return at::detail::getCUDAHooks().deviceCount() ? "" : "no CUDA device on this machine";
}

std::optional<int64_t> host_waits() { return {}; }
std::optional<int64_t> graphs_recorded() { return {}; }

// The CPU is the judge: fp32 convolutions in fp32.
ByKernels::ByKernels(bool) { at::globalContext().setAllowTF32CuDNN(false); }
ByKernels::~ByKernels() {}

}  // namespace sara
