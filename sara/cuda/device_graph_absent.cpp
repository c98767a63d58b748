// SPDX-License-Identifier: Apache-2.0
// Of a build without kernels.
#include "sara/cuda/device_graph.h"

namespace sara::cuda {

std::unique_ptr<DeviceGraph> device_graph(const torch::Device&) { return nullptr; }

}  // namespace sara::cuda
