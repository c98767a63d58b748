// SPDX-License-Identifier: Apache-2.0
#include "sara/optim/lr_rule.h"

#include <cmath>

#include "sara/base/error.h"

namespace sara {

double lr_for_threshold(double threshold) {
  if (std::isinf(threshold))
    throw InvalidArgument("lr: the rule 1e-3 exp(-350 threshold) has no threshold with this selection. Fix: give a learning rate, or a threshold beside the budget");
  const double lr = 1e-3 * std::exp(-350 * threshold);
  if (!(lr >= 1e-5))
    throw InvalidArgument(message("lr: the rule 1e-3 exp(-350 threshold) is not fitted for threshold ", threshold,
                                  " (expected a rate of at least 1e-05, got ", lr, "). Fix: give a learning rate"));
  return lr;
}

}  // namespace sara
