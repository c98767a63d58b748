// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "sara/base/options.h"
#include "sara/weights/model_folder.h"

namespace sara::cli {

// Which model a verb works on; the same flags everywhere.
struct ModelOptions {
  std::optional<std::string> model, motion_adapter, tokenizer, prediction_type;
  bool allow_nonfinite = false;

  template <class V>
  void visit(V&& v) {
    v("model", model, "Model folder in diffusers' layout, or a single .safetensors file (default: the mini-sd that comes with sara)");
    v("motion_adapter", motion_adapter, "AnimateDiff's motion modules, a MotionAdapter folder or a .safetensors file: a Stable Diffusion 1.x model then makes clips");
    v("tokenizer", tokenizer, "Folder of the tokenizer, for a single file that holds none");
    v("prediction_type", prediction_type, "What the denoiser predicts, where the model does not say or says it wrongly", one_of({"epsilon", "v_prediction"}));
    v("allow_nonfinite", allow_nonfinite, "Go on when the model's weights hold NaN or Inf");
  }
};

// The folder: --model, or the embedded mini-sd. Throws BadFile when the latter is not installed.
std::string model_path(const ModelOptions& options);

// What the flags say of how the model is read.
ModelReading model_reading(const ModelOptions& options);
ModelFolder open_model(const ModelOptions& options);

}  // namespace sara::cli
