// SPDX-License-Identifier: Apache-2.0
#include "sara/files/resize.h"

#include <torch/types.h>

#include "sara/base/error.h"
#include "tests/parity/probe/probe.h"

// tensors "<image>" [height, width, 3] bytes; config {"jobs": [{"image", "width", "height", "filter"}]} -> "<i>" for each job.
SARA_PROBE(resize) {
  using namespace sara;
  const std::map<std::string, Filter> filters{{"bilinear", Filter::bilinear}, {"bicubic", Filter::bicubic}, {"lanczos", Filter::lanczos}};
  int64_t index = 0;
  for (const Json& job : in.config.at("jobs")) {
    const torch::Tensor source = in.tensors.at(job.at("image").get<std::string>()).contiguous();
    const auto* const bytes = source.const_data_ptr<uint8_t>();
    const Image image{source.size(1), source.size(0), {bytes, bytes + source.numel()}};
    const Image resized = resize(image, job.at("width").get<int64_t>(), job.at("height").get<int64_t>(),
                                 filters.at(job.at("filter").get<std::string>()));
    out[std::to_string(index++)] =
        torch::tensor(at::ArrayRef<uint8_t>(resized.pixels), torch::kUInt8).reshape({resized.height, resized.width, 3});
  }
}
