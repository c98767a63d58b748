// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <vector>

namespace sara {

// The exponential moving average of a list of tensors, in fp32: average += (1 - d)(value - average), with
// d = min(decay, (1 + n) / (10 + n)) after n updates, so that the start does not weigh for long.
class Ema {
 public:
  // The averages start as copies. The tensors are kept by reference and must stay the same objects.
  explicit Ema(std::vector<torch::Tensor> tensors, double decay = 0.9999);

  void update();
  void swap_();  // exchanges averages and live tensors; twice gives the first state back
  const std::vector<torch::Tensor>& averages() const { return averages_; }
  int64_t updates() const { return updates_; }

  // Goes on from saved averages (as averages() gave them) after `updates` updates.
  void restore(const std::vector<torch::Tensor>& averages, int64_t updates);

 private:
  std::vector<torch::Tensor> tensors_, averages_, live_;  // live_: the tensors' own values while swapped
  double decay_;
  int64_t updates_ = 0;
};

}  // namespace sara
