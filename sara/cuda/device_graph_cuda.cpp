// SPDX-License-Identifier: Apache-2.0
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>

#include "sara/cuda/device_graph.h"

namespace sara::cuda {
namespace {

class CudaGraph : public DeviceGraph {
 public:
  explicit CudaGraph(const torch::Device& device) : stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index())) {}

  void record(const std::function<void()>& work) override {
    const c10::cuda::CUDAStreamGuard here(stream_);  // the default stream cannot record
    c10::cuda::device_synchronize();                 // what the work reads has been written
    graph_.capture_begin();
    try {
      work();
    } catch (...) {
      try {
        graph_.capture_end();
      } catch (const std::exception&) {  // the recording is spoilt: the work's own error says why
      }
      throw;
    }
    graph_.capture_end();
  }

  void replay() override { graph_.replay(); }

 private:
  c10::cuda::CUDAStream stream_;
  at::cuda::CUDAGraph graph_;
};

}  // namespace

std::unique_ptr<DeviceGraph> device_graph(const torch::Device& device) { return device.is_cuda() ? std::make_unique<CudaGraph>(device) : nullptr; }

}  // namespace sara::cuda
