// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <string>

#include "sara/metrics/pixel_scaling.h"

namespace sara {

// What a CLIP model's preprocessor_config.json asks for; the defaults are those of CLIPImageProcessor.
struct ClipPixels {
  int64_t shortest_edge = 224, crop = 224;  // sides in pixels
  Filter filter = Filter::bicubic;
  PixelScaling scaling;

  // Throws InvalidArgument naming the key for a value that is malformed or not supported.
  static ClipPixels from_json(const Json& json);

  // The shorter side becomes shortest_edge, the longer one int(shortest_edge · longer / shorter), with Pillow's arithmetic; the
  // middle square of `crop` is kept (odd rests leave the larger half below and to the right) and scaled. -> [3, crop, crop] fp32.
  torch::Tensor operator()(const Image& image) const;

  std::string description() const;  // "shortest edge to 224 (Pillow bicubic), centre crop 224x224"
};

}  // namespace sara
