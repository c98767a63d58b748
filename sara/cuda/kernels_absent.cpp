// SPDX-License-Identifier: Apache-2.0
// The library of a build without CUDA kernels: tensors on other devices than the CPU go by torch's operations.
#include "sara/cuda/kernels.h"

namespace sara::cuda {

const Kernels* kernels(const torch::Device&) { return nullptr; }

}  // namespace sara::cuda
