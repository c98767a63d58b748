// SPDX-License-Identifier: Apache-2.0
#include "cli/model_choice.h"

#include <cstdlib>
#include <filesystem>

#include "cli/version.h"
#include "sara/base/error.h"

namespace sara::cli {

std::string model_path(const ModelOptions& options) {
  if (options.model) return *options.model;
  const char* chosen = std::getenv("SARA_MODELS_DIR");
  const auto path = std::filesystem::path(chosen ? chosen : default_models_dir()) / "mini-sd";
  if (!std::filesystem::exists(path / "model_index.json")) {
    throw BadFile(path.string(), "the model that comes with sara is not here. Fix: add --model FOLDER, or set SARA_MODELS_DIR");
  }
  return path.string();
}

ModelReading model_reading(const ModelOptions& options) { return {options.tokenizer, options.prediction_type, options.motion_adapter}; }

ModelFolder open_model(const ModelOptions& options) {
  ModelFolder model(model_path(options), model_reading(options));
  if (options.allow_nonfinite) model.allow_nonfinite();
  return model;
}

}  // namespace sara::cli
