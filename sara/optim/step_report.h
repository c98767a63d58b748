// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sara {

// What one optimizer step did.
struct StepReport {
  double grad_norm = 0;     // before clipping, rank term included
  double rank_loss = 0;     // lambda_rank x the loss of the matrices used at this step
  int64_t active = 0;       // weights trained after this step
  bool reselected = false;
  double rank_seconds = 0;  // time spent on the rank term
  bool skipped = false;     // the gradient was not finite: weights and moments untouched
};

}  // namespace sara
