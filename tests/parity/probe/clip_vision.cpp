// SPDX-License-Identifier: Apache-2.0
#include "sara/models/clip_vision.h"

#include <torch/types.h>

#include "tests/parity/probe/parameters.h"
#include "tests/parity/probe/probe.h"

// config: "model" (a config.json) and the keys of parameters.h. Tensors: pixels, cotangent. Gives output (the
// picture's embedding) and gradients.
SARA_PROBE(clip_vision) {
  using namespace sara;
  ClipVisionModel vision(ClipVisionConfig::from_json(in.config.at("model")), tests::tensor_options(in.config));
  tests::fill_parameters(vision, in.config);
  tests::choose_gradients(vision, in.config);
  const auto result = vision.forward(in.tensors.at("pixels"));
  tests::give_gradients(vision, (result * in.tensors.at("cotangent")).sum(), out);
  out["output"] = result.detach();
}

// config: "model" (a config.json). Gives the shape of every parameter under its name; no weight is held.
SARA_PROBE(clip_vision_shapes) {
  const sara::ClipVisionModel vision(sara::ClipVisionConfig::from_json(in.config.at("model")), torch::device(torch::kMeta));
  for (const auto& item : vision.named_parameters()) out[item.key()] = torch::tensor(item.value().sizes().vec(), torch::kInt64);
}
