// SPDX-License-Identifier: Apache-2.0
#include "sara/optim/ema.h"

#include <algorithm>

#include "sara/base/error.h"

namespace sara {

Ema::Ema(std::vector<torch::Tensor> tensors, double decay) : tensors_(std::move(tensors)), decay_(decay) {
  if (!(decay >= 0 && decay < 1))
    throw InvalidArgument(message("ema_decay: out of range (expected in [0, 1), got ", decay, "). Fix: correct the value"));
  for (const torch::Tensor& tensor : tensors_) averages_.push_back(tensor.detach().to(torch::kFloat, false, /*copy=*/true));
}

void Ema::update() {
  SARA_CHECK(live_.empty(), "update() while the averages are swapped in");
  torch::NoGradGuard no_grad;
  const auto n = static_cast<double>(updates_++);
  const double blend = 1 - std::min(decay_, (1 + n) / (10 + n));
  for (size_t i = 0; i < tensors_.size(); ++i) averages_[i].lerp_(tensors_[i].to(torch::kFloat), blend);
}

void Ema::swap_() {
  torch::NoGradGuard no_grad;
  if (live_.empty()) {
    for (size_t i = 0; i < tensors_.size(); ++i) {
      live_.push_back(tensors_[i].detach().clone());
      tensors_[i].copy_(averages_[i]);
    }
    return;
  }
  for (size_t i = 0; i < tensors_.size(); ++i) tensors_[i].copy_(live_[i]);
  live_.clear();
}

void Ema::restore(const std::vector<torch::Tensor>& averages, int64_t updates) {
  SARA_CHECK(averages.size() == averages_.size(), "as many averages as tensors");
  torch::NoGradGuard no_grad;
  for (size_t i = 0; i < averages_.size(); ++i) averages_[i].copy_(averages[i]);
  updates_ = updates;
}

}  // namespace sara
