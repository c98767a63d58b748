// SPDX-License-Identifier: Apache-2.0
#include "sara/models/blip.h"

#include <torch/types.h>

#include "sara/weights/load_weights.h"
#include "tests/parity/probe/probe.h"

// config: "model" (a config.json), "folder" with its weights. Tensors: pixels, question, answer -> seen, logits.
SARA_PROBE(blip) {
  using namespace sara;
  const torch::NoGradGuard no_grad;
  BlipForQuestionAnswering blip(BlipConfig::from_json(in.config.at("model")), torch::kFloat32);
  load_weights_(blip, WeightFiles(in.config.at("folder").get<std::string>()));
  out["seen"] = blip.seen(in.tensors.at("pixels"));
  out["logits"] = blip.answer_logits(out["seen"], in.tensors.at("question"), in.tensors.at("answer"));
}

// config: "model" (a config.json). Gives the shape of every parameter under its name; no weight is held.
SARA_PROBE(blip_shapes) {
  const sara::BlipForQuestionAnswering blip(sara::BlipConfig::from_json(in.config.at("model")), torch::device(torch::kMeta));
  for (const auto& item : blip.named_parameters()) out[item.key()] = torch::tensor(item.value().sizes().vec(), torch::kInt64);
}
