// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <utility>
#include <vector>

namespace sara {

// The gradient of the selected weights, fp32, a span for each tensor. On the CPU a span takes memory when the backward pass comes to its tensor,
// just after the activations that led to it were freed, and gives it back after the step: at the fullest moment of a step, the
// end of the forward pass, there is no gradient. What needs all spans side by side gets one buffer (whole()).
class CompactGradient {
 public:
  using Spans = std::vector<std::pair<int64_t, int64_t>>;  // begin and end of each slot, one after the other from 0

  // All zeros.
  void reset(Spans spans, torch::Device device);

  // One slot's span, [end - begin], to read and to add to.
  torch::Tensor span(size_t slot);
  // [active]: from here until clear_() the spans lie in it.
  const torch::Tensor& whole();
  // From now on the one buffer stays where it is, for what holds on to it. So it is from the start on a device.
  const torch::Tensor& keep_whole();
  bool kept_whole() const { return kept_whole_; }

  // All zeros again; memory goes back.
  void clear_();

  // For each slot in turn: of its entries only those at `stay` remain; finish_keeping_() then closes the gaps.
  void keep_entries_(size_t slot, const torch::Tensor& stay);
  void finish_keeping_();

 private:
  torch::TensorOptions options() const { return torch::TensorOptions(device_).dtype(torch::kFloat); }
  int64_t size() const { return spans_.empty() ? 0 : spans_.back().second; }

  Spans spans_;
  torch::Device device_ = torch::kCPU;
  std::vector<torch::Tensor> parts_;  // of each slot; undefined: zeros
  torch::Tensor whole_;               // defined: the parts lie in it
  bool kept_whole_ = false;
  Spans kept_;  // while entries are being left out
};

}  // namespace sara
