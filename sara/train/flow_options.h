// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "sara/base/options.h"

namespace sara {

// How flow-matching models (SD 3) draw and weigh noise levels. Not given: the values behind "default".
struct FlowOptions {
  std::optional<std::string> weighting_scheme;
  std::optional<double> logit_mean, logit_std, mode_scale;
  std::optional<int64_t> precondition_outputs;

  template <class V>
  void visit(V&& v) {
    v("weighting_scheme", weighting_scheme, "SD 3: which noise levels are trained most (logit_normal, mode), or how the loss of each is weighed (sigma_sqrt, cosmap; none) (default: logit_normal)",
      one_of({"logit_normal", "mode", "sigma_sqrt", "cosmap", "none"}));
    v("logit_mean", logit_mean, "Mean of the normal draw under logit_normal; above 0: noisier (default: 0)");
    v("logit_std", logit_std, "Its standard deviation (default: 1)", above(0));
    v("mode_scale", mode_scale, "Strength of the scheme mode (default: 1.29)", between(-1, 2));
    v("precondition_outputs", precondition_outputs, "SD 3: 1 compares the picture that the answer implies with the picture, 0 the velocity with the velocity (default: 0)", between(0, 1));
  }
};

}  // namespace sara
