// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "sara/base/options.h"

namespace sara::cli {

// Which model a verb works on; the same two flags everywhere.
struct ModelOptions {
  std::optional<std::string> model;
  bool allow_nonfinite = false;

  template <class V>
  void visit(V&& v) {
    v("model", model, "Model folder in diffusers' layout (default: the mini-sd that comes with sara)");
    v("allow_nonfinite", allow_nonfinite, "Go on when the model's weights hold NaN or Inf");
  }
};

// The folder: --model, or the embedded mini-sd. Throws BadFile when the latter is not installed.
std::string model_path(const ModelOptions& options);

}  // namespace sara::cli
