// SPDX-License-Identifier: Apache-2.0
#include "sara/data/transforms.h"

#include <algorithm>
#include <cmath>

#include "sara/base/error.h"
#include "sara/base/random.h"
#include "sara/files/resize.h"

namespace sara {
namespace {

Filter filter_of(const std::string& name) {
  if (name == "bilinear") return Filter::bilinear;
  if (name == "bicubic") return Filter::bicubic;
  SARA_CHECK(name == "lanczos", name);
  return Filter::lanczos;
}

}  // namespace

void check_transforms(const TransformOptions& given) {
  TransformOptions options = given;
  check_options(options);
  if (options.resolution % 8 != 0)
    throw InvalidArgument(message("resolution: the image encoder halves three times (expected a multiple of 8, got ",
                                  options.resolution, "). Fix: use ", (options.resolution + 4) / 8 * 8));
}

Image resized_to_cover(const Image& image, const TransformOptions& options) {
  const int64_t shorter = std::min(image.width, image.height), side = options.resolution;
  SARA_CHECK(shorter > 0, image.width, " x ", image.height);
  const int64_t width = image.width == shorter ? side : side * image.width / shorter;
  const int64_t height = image.height == shorter ? side : side * image.height / shorter;
  return resize(image, width, height, filter_of(options.resize_filter));
}

Corner crop_corner(int64_t width, int64_t height, const TransformOptions& options, uint64_t seed, int64_t epoch,
                   int64_t sample) {
  const int64_t spare_x = width - options.resolution, spare_y = height - options.resolution;
  SARA_CHECK(spare_x >= 0 && spare_y >= 0, width, " x ", height, " for ", options.resolution);
  if (options.crop == "center") {
    const auto half_to_even = [](int64_t spare) { return spare / 2 + (spare % 4 == 3 ? 1 : 0); };
    return {half_to_even(spare_x), half_to_even(spare_y)};
  }
  RandomStream stream(seed, "crop", static_cast<uint64_t>(epoch), static_cast<uint64_t>(sample));
  const auto left = static_cast<int64_t>(stream.below(static_cast<uint64_t>(spare_x) + 1));
  const auto top = static_cast<int64_t>(stream.below(static_cast<uint64_t>(spare_y) + 1));
  return {left, top};
}

bool is_flipped(const TransformOptions& options, uint64_t seed, int64_t epoch, int64_t sample) {
  if (!options.random_flip) return false;
  return RandomStream(seed, "flip", static_cast<uint64_t>(epoch), static_cast<uint64_t>(sample)).below(2) == 1;
}

Image cropped(const Image& image, Corner corner, int64_t side) {
  SARA_CHECK(
      corner.left >= 0 && corner.top >= 0 && corner.left + side <= image.width && corner.top + side <= image.height,
      "corner ", corner.left, ", ", corner.top, ", side ", side, " of ", image.width, " x ", image.height);
  Image out{side, side, std::vector<uint8_t>(static_cast<size_t>(side * side * 3))};
  for (int64_t y = 0; y < side; ++y) {
    const auto row = image.pixels.begin() + ((corner.top + y) * image.width + corner.left) * 3;
    std::copy(row, row + side * 3, out.pixels.begin() + y * side * 3);
  }
  return out;
}

torch::Tensor to_pixels(const Image& image) {
  SARA_CHECK(static_cast<int64_t>(image.pixels.size()) == image.width * image.height * 3, image.pixels.size(),
             " bytes");
  auto bytes = const_cast<uint8_t*>(image.pixels.data());  // from_blob only reads: to() below copies
  const auto rows = torch::from_blob(bytes, {image.height, image.width, 3}, torch::kUInt8);
  return rows.permute({2, 0, 1}).to(torch::kFloat32).div_(127.5).sub_(1.0).contiguous();
}

torch::Tensor mirrored(const torch::Tensor& pixels) { return pixels.flip({-1}).contiguous(); }

torch::Tensor training_pixels(const Image& image, const TransformOptions& options, uint64_t seed, int64_t epoch,
                              int64_t sample) {
  const Image covering = resized_to_cover(image, options);
  const Corner corner = crop_corner(covering.width, covering.height, options, seed, epoch, sample);
  const auto pixels = to_pixels(cropped(covering, corner, options.resolution));
  return is_flipped(options, seed, epoch, sample) ? mirrored(pixels) : pixels;
}

}  // namespace sara
