// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <functional>
#include <memory>
#include <vector>

#include "sara/cuda/device_graph.h"

namespace sara::cuda {

// The passes of a training step (forward, loss, backward), recorded by the device: the host starts one graph instead of queueing more than a thousand kernels,
// which take longer to queue than to run where batches are small and devices fast.
class PassGraph {
 public:
  using Tensors = std::vector<torch::Tensor>;

  // passes(inputs) -> results, without a gradient. All else that they read or write, weights and the gradient's buffer, has to stay where it is until
  // forget(). Throws InvalidArgument where the device has no graphs.
  PassGraph(const torch::Device& device, std::function<Tensors(const Tensors&)> passes);
  static void require(const torch::Device& device);  // throws the same

  // The results, the same tensors for every call with inputs of the same sizes and types; those inputs may lie anywhere, and may be undefined. Of such inputs
  // the passes run as they are kUnrecorded times, while libraries choose their kernels, are recorded then and started as a graph from there on.
  Tensors run(const Tensors& inputs);
  void forget();

  static constexpr int64_t kUnrecorded = 2;

 private:
  bool fits(const Tensors& inputs) const;

  torch::Device device_;
  std::function<Tensors(const Tensors&)> passes_;
  std::unique_ptr<DeviceGraph> graph_;
  Tensors inputs_, results_;  // of the graph
  int64_t runs_ = 0;          // with inputs like these
};

}  // namespace sara::cuda
