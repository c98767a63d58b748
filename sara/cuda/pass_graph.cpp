// SPDX-License-Identifier: Apache-2.0
#include "sara/cuda/pass_graph.h"

#include "sara/base/error.h"

namespace sara::cuda {

PassGraph::PassGraph(const torch::Device& device, std::function<Tensors(const Tensors&)> passes) : device_(device), passes_(std::move(passes)) {
  require(device);
}

void PassGraph::require(const torch::Device& device) {
  if (!device_graph(device)) throw InvalidArgument(message("cuda_graph: the device ", device, " records no graphs. Fix: train on a CUDA device, in a build with kernels for it (sara doctor: cuda_kernels), or leave it out"));
}

bool PassGraph::fits(const Tensors& inputs) const {
  if (inputs.size() != inputs_.size()) return false;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].defined() != inputs_[i].defined()) return false;
    if (inputs[i].defined() && (inputs[i].sizes() != inputs_[i].sizes() || inputs[i].scalar_type() != inputs_[i].scalar_type())) return false;
  }
  return true;
}

PassGraph::Tensors PassGraph::run(const Tensors& inputs) {
  if (!fits(inputs)) {
    forget();
    inputs_.clear();
    for (const torch::Tensor& input : inputs) inputs_.push_back(input.defined() ? torch::empty(input.sizes(), input.options().device(device_)) : input);
  }
  for (size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i].defined()) inputs_[i].copy_(inputs[i]);
  if (!graph_ && runs_++ < kUnrecorded) return passes_(inputs_);
  if (!graph_) {
    auto graph = device_graph(device_);
    graph->record([this] { results_ = passes_(inputs_); });
    graph_ = std::move(graph);
  }
  graph_->replay();
  return results_;
}

void PassGraph::forget() {
  results_.clear();
  graph_.reset();
  runs_ = 0;
}

}  // namespace sara::cuda
