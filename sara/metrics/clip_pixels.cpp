// SPDX-License-Identifier: Apache-2.0
#include "sara/metrics/clip_pixels.h"

#include <torch/types.h>

#include <algorithm>

#include "sara/base/error.h"
#include "sara/models/config_reader.h"

namespace sara {
namespace {

constexpr const char* kWhat = "CLIPImageProcessor";

// A side given as a number, or inside an object.
int64_t side(const Json& json, const std::string& key, const std::string& inner, int64_t fallback) {
  if (!json.contains(key) || !json[key].is_object()) return ConfigReader(json, kWhat).integer(key, fallback);
  const ConfigReader read(json[key], message(kWhat, " ", key));
  if (!read.given(inner)) throw InvalidArgument(message(kWhat, " config: \"", key, "\" is not supported (expected \"", inner, "\")"));
  return read.integer(inner, fallback);
}

Image middle(const Image& image, int64_t side) {
  const int64_t left = (image.width - side) / 2, top = (image.height - side) / 2;
  Image out{side, side, std::vector<uint8_t>(static_cast<size_t>(side * side * 3))};
  for (int64_t y = 0; y < side; ++y)
    std::copy_n(image.pixels.begin() + ((top + y) * image.width + left) * 3, side * 3, out.pixels.begin() + y * side * 3);
  return out;
}

}  // namespace

ClipPixels ClipPixels::from_json(const Json& json) {
  const ConfigReader read(json, kWhat);
  for (const char* step : {"do_resize", "do_center_crop"}) read.only(step, {true});
  ClipPixels c;
  c.shortest_edge = side(json, "size", "shortest_edge", c.shortest_edge);
  c.crop = side(json, "crop_size", "height", c.crop);
  if (side(json, "crop_size", "width", c.crop) != c.crop || c.crop > c.shortest_edge)
    throw InvalidArgument(message(kWhat, " config: \"crop_size\" is not supported (expected a square of at most ", c.shortest_edge, ")"));
  c.filter = filter_from_json(json, kWhat);
  c.scaling = PixelScaling::from_json(json, kWhat);
  return c;
}

torch::Tensor ClipPixels::operator()(const Image& image) const {
  const bool wide = image.width >= image.height;
  const int64_t shorter = wide ? image.height : image.width, longer = wide ? image.width : image.height;
  const auto long_side = static_cast<int64_t>(double(shortest_edge * longer) / double(shorter));
  const Image resized = resize(image, wide ? long_side : shortest_edge, wide ? shortest_edge : long_side, filter);
  return scaling(middle(resized, crop));
}

std::string ClipPixels::description() const {
  return message("shortest edge to ", shortest_edge, " (Pillow ", filter_name(filter), "), centre crop ", crop, "x", crop);
}

}  // namespace sara
