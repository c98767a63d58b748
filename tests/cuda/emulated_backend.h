// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <utility>

namespace sara {

// The device of test_cuda_emulated: its tensors are those of emulated_backend.cpp, what it computes is in emulated_operations.cpp, its graphs in emulated_graph.cpp.
c10::Device emulated_device();

// The same memory as a tensor on the CPU.
torch::Tensor on_cpu(const torch::Tensor& tensor);

// While one lives tensors go to the CPU only because an operation of the device is computed there.
struct ByTheCpu {
  static inline bool now = false;
  const bool outer = std::exchange(now, true);
  ByTheCpu() = default;
  ~ByTheCpu() { now = outer; }
  ByTheCpu(const ByTheCpu&) = delete;
  ByTheCpu& operator=(const ByTheCpu&) = delete;
};

// Counts (host_waits()); throws while the device records.
void wait_for_device();

}  // namespace sara
