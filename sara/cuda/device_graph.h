// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <functional>
#include <memory>

namespace sara::cuda {

// Work of a device that is recorded once and then started as a whole, with the same numbers' places: a CUDA graph.
class DeviceGraph {
 public:
  virtual ~DeviceGraph() = default;
  // Calls `work`, whose operations the device records and does not do. They may not wait for the device, nor read from the CPU. Their results and all that lies
  // between stay where they are for this object's life. Once.
  virtual void record(const std::function<void()>& work) = 0;
  // Queues all that was recorded on the current stream.
  virtual void replay() = 0;
};

// Null where there is none: on the CPU, and in a build without kernels (kernels_absent.cpp).
std::unique_ptr<DeviceGraph> device_graph(const torch::Device& device);

}  // namespace sara::cuda
