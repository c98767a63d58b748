// SPDX-License-Identifier: Apache-2.0
#include "sara/cuda/kernels.h"

#include "sara/cuda/functions.h"

namespace sara::cuda {

const Kernels* kernels(const torch::Device& device) { return device.is_cuda() ? &kTable : nullptr; }

}  // namespace sara::cuda
