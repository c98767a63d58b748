// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/gradient_clock.h"

#include <atomic>

namespace sara {
namespace {

std::atomic<int64_t> spent{0};  // ns
thread_local int64_t depth = 0;

}  // namespace

double weight_gradient_seconds() { return 1e-9 * double(spent.load()); }

GradientClock::GradientClock() {
  if (depth++ == 0) start_ = std::chrono::steady_clock::now();
}

GradientClock::~GradientClock() {
  if (--depth == 0) spent += std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start_).count();
}

}  // namespace sara
