// SPDX-License-Identifier: Apache-2.0
#include "sara/files/image.h"

#include <torch/types.h>

#include "sara/base/error.h"
#include "tests/parity/probe/probe.h"

// config {"paths": [...], "background": [r, g, b]} -> "pixels.<i>" [height, width, 3] of each image that can be read, and
// "report": bytes of a JSON list with {"width", "height", "format", "notices"} or {"error"} for each.
SARA_PROBE(image) {
  using namespace sara;
  const auto background = in.config.at("background").get<std::array<uint8_t, 3>>();
  Json report = Json::array();
  const auto paths = in.config.at("paths").get<std::vector<std::string>>();
  for (size_t i = 0; i < paths.size(); ++i) {
    try {
      const ImageInfo info = read_image_header(paths[i]);
      const Image image = read_image(paths[i], background);
      SARA_CHECK(info.width == image.width && info.height == image.height, "header and pixels disagree: ", paths[i]);
      out["pixels." + std::to_string(i)] =
          torch::tensor(at::ArrayRef<uint8_t>(image.pixels), torch::kUInt8).reshape({image.height, image.width, 3});
      report.push_back(Json{{"width", info.width}, {"height", info.height}, {"format", info.format}, {"notices", info.notices}});
    } catch (const BadFile& error) {
      report.push_back(Json{{"error", error.reason()}});
    }
  }
  const std::string text = report.dump();
  out["report"] = torch::tensor(at::ArrayRef<uint8_t>(reinterpret_cast<const uint8_t*>(text.data()), text.size()), torch::kUInt8);
}
