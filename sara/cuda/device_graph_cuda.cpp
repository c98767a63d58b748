// SPDX-License-Identifier: Apache-2.0
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>

#include "sara/cuda/device_graph.h"

namespace sara::cuda {
namespace {

namespace memory = c10::cuda::CUDACachingAllocator;

class CudaGraph : public DeviceGraph {
 public:
  explicit CudaGraph(const torch::Device& device) : stream_(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index())) {}

  void record(const std::function<void()>& work) override {
    const c10::cuda::CUDAStreamGuard here(stream_);  // the default stream cannot record
    c10::cuda::device_synchronize();                 // what the work reads has been written
    memory::emptyCache();                            // what earlier passes have left free is of no use to a graph, whose memory is its own
    graph_.capture_begin(pool_);
    try {
      work();
    } catch (...) {
      give_up();
      throw;
    }
    graph_.capture_end();
  }

  void replay() override { graph_.replay(); }

 private:
  // The work's own error says what went wrong. Ending a spoilt recording fails too, before it has given its memory back.
  void give_up() noexcept {
    try {
      graph_.capture_end();
    } catch (const std::exception&) {
      try {
        memory::endAllocateToPool(stream_.device_index(), pool_);
        memory::releasePool(stream_.device_index(), pool_);
      } catch (const std::exception&) {
      }
    }
  }

  c10::cuda::CUDAStream stream_;
  c10::MempoolId_t pool_ = at::cuda::graph_pool_handle();
  at::cuda::CUDAGraph graph_;
};

}  // namespace

std::unique_ptr<DeviceGraph> device_graph(const torch::Device& device) { return device.is_cuda() ? std::make_unique<CudaGraph>(device) : nullptr; }

}  // namespace sara::cuda
