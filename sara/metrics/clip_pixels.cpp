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

std::array<double, 3> channels(const Json& json, const std::string& key, const std::array<double, 3>& fallback) {
  if (!json.contains(key)) return fallback;
  const Json& value = json[key];
  if (!value.is_array() || value.size() != 3 || !std::ranges::all_of(value, [](const Json& v) { return v.is_number(); }))
    throw InvalidArgument(message(kWhat, " config: \"", key, "\" is malformed (expected three numbers, got ", escaped(value.dump()), ")"));
  return value.get<std::array<double, 3>>();
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
  for (const char* step : {"do_resize", "do_center_crop", "do_rescale", "do_normalize"}) read.only(step, {true});
  read.only("resample", {2, 3, 1});
  ClipPixels c;
  c.shortest_edge = side(json, "size", "shortest_edge", c.shortest_edge);
  c.crop = side(json, "crop_size", "height", c.crop);
  if (side(json, "crop_size", "width", c.crop) != c.crop || c.crop > c.shortest_edge)
    throw InvalidArgument(message(kWhat, " config: \"crop_size\" is not supported (expected a square of at most ", c.shortest_edge, ")"));
  constexpr Filter kByNumber[] = {Filter::lanczos, Filter::bilinear, Filter::bicubic};  // Pillow's 1, 2, 3
  c.filter = kByNumber[read.integer("resample", 3) - 1];
  c.rescale_factor = read.positive("rescale_factor", c.rescale_factor);
  c.mean = channels(json, "image_mean", c.mean);
  c.deviation = channels(json, "image_std", c.deviation);
  if (std::ranges::any_of(c.deviation, [](double v) { return !(v > 0); }))
    throw InvalidArgument(message(kWhat, " config: \"image_std\" is malformed (expected numbers above 0)"));
  return c;
}

torch::Tensor ClipPixels::operator()(const Image& image) const {
  const bool wide = image.width >= image.height;
  const int64_t shorter = wide ? image.height : image.width, longer = wide ? image.width : image.height;
  const auto long_side = static_cast<int64_t>(double(shortest_edge * longer) / double(shorter));
  const Image resized = resize(image, wide ? long_side : shortest_edge, wide ? shortest_edge : long_side, filter);
  const Image kept = middle(resized, crop);
  const auto bytes = torch::from_blob(const_cast<uint8_t*>(kept.pixels.data()), {crop, crop, 3}, torch::kUInt8);
  const auto values = bytes.permute({2, 0, 1}).to(torch::kFloat64) * rescale_factor;
  const auto a_channel = [](const std::array<double, 3>& v) { return torch::tensor(at::ArrayRef<double>(v.data(), 3), torch::kFloat64).view({3, 1, 1}); };
  return ((values - a_channel(mean)) / a_channel(deviation)).to(torch::kFloat32).contiguous();
}

std::string ClipPixels::description() const {
  const char* name = filter == Filter::bicubic ? "bicubic" : filter == Filter::bilinear ? "bilinear" : "Lanczos";
  return message("shortest edge to ", shortest_edge, " (Pillow ", name, "), centre crop ", crop, "x", crop);
}

}  // namespace sara
