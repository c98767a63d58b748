// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sara/files/json.h"
#include "sara/weights/shards.h"

namespace sara {

// The motion modules of AnimateDiff in files of their own, by diffusers' names.
struct MotionModules {
  std::string path;
  Json config;  // of a MotionAdapter
  WeightFiles weights;
};

// From the folder of a MotionAdapter, or a single .safetensors file under the original names, whose config is read off its
// shapes. Throws BadFile for anything else.
MotionModules open_motion_modules(const std::string& path);

}  // namespace sara
