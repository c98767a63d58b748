// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace sara {

// The factor, 0 to 1, on the learning rate of optimizer step `step` = 1..steps, as diffusers' get_scheduler gives it.
// s = step - 1, w = warmup_steps:
//   s < w:     s / w, for every curve but "constant" (the first step of a warm-up has rate 0)
//   "constant", "constant_with_warmup" 1    "linear" (steps - s) / (steps - w)    "cosine" (1 + cos(pi (s - w) / (steps - w))) / 2
// "constant" has no warm-up; there it would be ignored, here it is refused.
// Throws InvalidArgument for an unknown curve, for step outside 1..steps and for a warm-up outside 0..steps.
double lr_curve(const std::string& curve, int64_t step, int64_t steps, int64_t warmup_steps = 0);

}  // namespace sara
