// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/motion_modules.h"

#include <filesystem>

#include "sara/base/error.h"
#include "sara/files/foreign_file.h"
#include "sara/weights/single_file.h"

namespace sara {

namespace fs = std::filesystem;

MotionModules open_motion_modules(const std::string& path) {
  std::error_code failure;
  if (fs::is_directory(path, failure)) {
    const auto config_path = (fs::path(path) / "config.json").string();
    if (!fs::exists(config_path, failure)) throw BadFile(path, "no motion modules here (expected the folder of a MotionAdapter, with config.json)");
    Json config = read_json(config_path);
    if (!config.is_object() || config.value("_class_name", Json("MotionAdapter")) != "MotionAdapter") throw BadFile(config_path, "is not the config of a MotionAdapter");
    return {path, config, WeightFiles(path)};
  }
  if (!fs::exists(path, failure)) throw BadFile(path, "no such motion modules. Fix: give the folder of a MotionAdapter or a .safetensors file");
  refuse_pickle(path);
  const SingleFile file(path);
  if (!file.has("motion_adapter")) throw BadFile(path, message("holds no motion modules (expected AnimateDiff, got family ", file.layout().family, "). Fix: give it as --model"));
  return {path, file.config("motion_adapter"), file.weights("motion_adapter")};
}

}  // namespace sara
