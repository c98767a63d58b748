// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <string>

#include "sara/base/options.h"
#include "sara/files/image.h"

namespace sara {

struct TransformOptions {
  int64_t resolution = 512;
  std::string crop = "center";
  bool random_flip = false;
  std::string resize_filter = "lanczos";

  template <class V>
  void visit(V&& v) {
    v("resolution", resolution, "Side of the square training image in pixels, a multiple of 8 (sara train takes the model's own when this is not given)", between(8, 8192));
    v("crop", crop, "Which square of the resized image is kept", one_of({"center", "random"}));
    v("random_flip", random_flip, "Mirror an image left to right in half of the epochs");
    v("resize_filter", resize_filter, "How images are resized", one_of({"bilinear", "bicubic", "lanczos"}));
  }
};

// InvalidArgument for what visit() and the multiple of 8 forbid.
void check_transforms(const TransformOptions& options);

// Upper left corner of the square that is kept.
struct Corner {
  int64_t left = 0, top = 0;
};

// The shorter side becomes `resolution`, the longer one floor(resolution · longer / shorter). Pillow's arithmetic.
Image resized_to_cover(const Image& image, const TransformOptions& options);

// Center: round half to even of (side - resolution) / 2, as torchvision. Random: uniform draws of the stream "crop"
// keyed (epoch, sample).
Corner crop_corner(int64_t width, int64_t height, const TransformOptions& options, uint64_t seed, int64_t epoch,
                   int64_t sample);

// Whether this sample is mirrored in this epoch: a draw of the stream "flip". Always false without random_flip.
bool is_flipped(const TransformOptions& options, uint64_t seed, int64_t epoch, int64_t sample);

Image cropped(const Image& image, Corner corner, int64_t side);

// uint8 RGB → [3, height, width] fp32 in [-1, 1]: value / 127.5 - 1.
torch::Tensor to_pixels(const Image& image);

// [..., width] mirrored left to right; the same as mirroring the image.
torch::Tensor mirrored(const torch::Tensor& pixels);

// All of it for one sample in one epoch: [3, resolution, resolution].
torch::Tensor training_pixels(const Image& image, const TransformOptions& options, uint64_t seed, int64_t epoch,
                              int64_t sample);

}  // namespace sara
