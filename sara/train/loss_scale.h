// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sara {

// Dynamic loss scaling for fp16, whose smallest gradients are lost below 6e-8 and whose largest overflow above 65504: the loss is multiplied
// before backward, the gradient divided after it. The rule and the numbers of torch.amp.GradScaler: a step that overflows
// is left out and halves the scale; `interval` good steps in a row double it.
class LossScale {
 public:
  explicit LossScale(double scale = 65536, int64_t interval = 2000) : scale_(scale), interval_(interval) {}

  double scale() const { return scale_; }
  int64_t good_steps() const { return good_steps_; }  // since the last change
  bool can_fall() const { return scale_ > 1; }        // a gradient that overflows unscaled is no matter of the scale

  void update(bool overflowed);
  void restore(double scale, int64_t good_steps);

 private:
  double scale_;
  int64_t interval_, good_steps_ = 0;
};

}  // namespace sara
