// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

namespace sara {

// Seconds of the process so far in which gradients of weights were computed, of which a frozen model needs none: single products, dense ones where
// they are taken instead, sums for biases, gathering. What a bench of a step reports; two readings of a clock a layer.
double weight_gradient_seconds();

// While one lives in the thread of the backward pass, that time passes; one within another counts once.
class GradientClock {
 public:
  GradientClock();
  ~GradientClock();
  GradientClock(const GradientClock&) = delete;
  GradientClock& operator=(const GradientClock&) = delete;

 private:
  std::chrono::steady_clock::time_point start_;
};

}  // namespace sara
