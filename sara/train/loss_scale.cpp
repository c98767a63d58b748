// SPDX-License-Identifier: Apache-2.0
#include "sara/train/loss_scale.h"

namespace sara {

namespace {
constexpr double kGrowth = 2, kBackoff = 0.5;
}

void LossScale::update(bool overflowed) {
  if (overflowed) {
    if (can_fall()) scale_ *= kBackoff;
    good_steps_ = 0;
  } else if (++good_steps_ == interval_) {
    scale_ *= kGrowth;
    good_steps_ = 0;
  }
}

void LossScale::restore(double scale, int64_t good_steps) {
  scale_ = scale;
  good_steps_ = good_steps;
}

}  // namespace sara
