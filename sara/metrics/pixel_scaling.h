// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <array>

#include "sara/files/image.h"
#include "sara/files/json.h"
#include "sara/files/resize.h"

namespace sara {

// Bytes to a network's input, as preprocessor_config.json says: (value · rescale_factor - mean) / deviation for each channel. The
// defaults are CLIP's, which BLIP shares.
struct PixelScaling {
  double rescale_factor = 1.0 / 255;
  std::array<double, 3> mean{0.48145466, 0.4578275, 0.40821073}, deviation{0.26862954, 0.26130258, 0.27577711};

  // `what` names the processor's class in errors: InvalidArgument for a value that is malformed.
  static PixelScaling from_json(const Json& json, const char* what);

  torch::Tensor operator()(const Image& image) const;  // -> [3, height, width] fp32
};

// "resample", one of Pillow's numbers 1 to 3; bicubic when absent. Throws InvalidArgument.
Filter filter_from_json(const Json& json, const char* what);
const char* filter_name(Filter filter);  // "bicubic"

}  // namespace sara
