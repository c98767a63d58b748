// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sara {

// The paper's learning rate for a threshold: 1e-3 exp(-350 threshold) (App. B, Eq. 13).
// Throws InvalidArgument below 1e-5 (threshold above about 1.3e-2), outside the paper's fit: a rate must be given there,
// and where there is no threshold (infinite).
double lr_for_threshold(double threshold);

}  // namespace sara
