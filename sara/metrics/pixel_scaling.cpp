// SPDX-License-Identifier: Apache-2.0
#include "sara/metrics/pixel_scaling.h"

#include <torch/types.h>

#include <algorithm>

#include "sara/base/error.h"
#include "sara/models/config_reader.h"

namespace sara {
namespace {

std::array<double, 3> channels(const Json& json, const char* what, const std::string& key, const std::array<double, 3>& fallback) {
  if (!json.contains(key)) return fallback;
  const Json& value = json[key];
  if (!value.is_array() || value.size() != 3 || !std::ranges::all_of(value, [](const Json& v) { return v.is_number(); }))
    throw InvalidArgument(message(what, " config: \"", key, "\" is malformed (expected three numbers, got ", escaped(value.dump()), ")"));
  return value.get<std::array<double, 3>>();
}

}  // namespace

PixelScaling PixelScaling::from_json(const Json& json, const char* what) {
  const ConfigReader read(json, what);
  for (const char* step : {"do_rescale", "do_normalize"}) read.only(step, {true});
  PixelScaling scaling;
  scaling.rescale_factor = read.positive("rescale_factor", scaling.rescale_factor);
  scaling.mean = channels(json, what, "image_mean", scaling.mean);
  scaling.deviation = channels(json, what, "image_std", scaling.deviation);
  if (std::ranges::any_of(scaling.deviation, [](double v) { return !(v > 0); }))
    throw InvalidArgument(message(what, " config: \"image_std\" is malformed (expected numbers above 0)"));
  return scaling;
}

torch::Tensor PixelScaling::operator()(const Image& image) const {
  const auto bytes = torch::from_blob(const_cast<uint8_t*>(image.pixels.data()), {image.height, image.width, 3}, torch::kUInt8);
  const auto values = bytes.permute({2, 0, 1}).to(torch::kFloat64) * rescale_factor;
  const auto a_channel = [](const std::array<double, 3>& v) { return torch::tensor(at::ArrayRef<double>(v.data(), 3), torch::kFloat64).view({3, 1, 1}); };
  return ((values - a_channel(mean)) / a_channel(deviation)).to(torch::kFloat32).contiguous();
}

Filter filter_from_json(const Json& json, const char* what) {
  const ConfigReader read(json, what);
  read.only("resample", {2, 3, 1});
  constexpr Filter kByNumber[] = {Filter::lanczos, Filter::bilinear, Filter::bicubic};
  return kByNumber[read.integer("resample", 3) - 1];
}

const char* filter_name(Filter filter) { return filter == Filter::bicubic ? "bicubic" : filter == Filter::bilinear ? "bilinear" : "Lanczos"; }

}  // namespace sara
