// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/cuda/host_device.h"

namespace sara::cuda {

constexpr int steps_of(int lanes) { return lanes > 1 ? 1 + steps_of(lanes / 2) : 0; }

// One of the steps_of(kLanes) steps after which lanes[0] holds the sum of all: an order that nothing but kLanes decides.
template <int kLanes, class T>
SARA_HOST_DEVICE void tree_step(T* lanes, int step, int lane) {
  static_assert(kLanes > 0 && (kLanes & (kLanes - 1)) == 0);
  const int width = kLanes >> (step + 1);
  if (lane < width) lanes[lane] += lanes[lane + width];
}

template <int kLanes>
SARA_HOST_DEVICE void tree_step_of_maximum(float* lanes, int step, int lane) {
  static_assert(kLanes > 0 && (kLanes & (kLanes - 1)) == 0);
  const int width = kLanes >> (step + 1);
  if (lane < width && lanes[lane + width] > lanes[lane]) lanes[lane] = lanes[lane + width];
}

}  // namespace sara::cuda
