// SPDX-License-Identifier: Apache-2.0
#include "sara/optim/lr_curve.h"

#include <cmath>
#include <numbers>

#include "sara/base/error.h"

namespace sara {

double lr_curve(const std::string& curve, int64_t step, int64_t steps, int64_t warmup_steps) {
  if (curve != "constant" && curve != "constant_with_warmup" && curve != "linear" && curve != "cosine")
    throw InvalidArgument(message("lr_scheduler: unknown curve (expected one of cosine, linear, constant, constant_with_warmup, got ", escaped(curve), "). Fix: correct the name"));
  if (curve == "constant" && warmup_steps > 0)
    throw InvalidArgument(message("lr_warmup_steps: a constant rate does not warm up (got ", warmup_steps, "). Fix: use --lr-scheduler constant_with_warmup, or leave it out"));
  if (step < 1 || step > steps)
    throw InvalidArgument(message("steps: step out of range (expected 1 to ", steps, ", got ", step, "). Fix: train no longer than planned"));
  if (warmup_steps < 0 || warmup_steps > steps)
    throw InvalidArgument(message("lr_warmup_steps: out of range (expected 0 to ", steps, ", got ", warmup_steps, "). Fix: shorten the warm-up"));
  const auto done = static_cast<double>(step - 1), warmup = static_cast<double>(warmup_steps);
  if (done < warmup) return done / warmup;
  if (curve != "linear" && curve != "cosine") return 1;
  const double progress = (done - warmup) / (static_cast<double>(steps) - warmup);
  return curve == "linear" ? 1 - progress : 0.5 * (1 + std::cos(std::numbers::pi * progress));
}

}  // namespace sara
