// SPDX-License-Identifier: Apache-2.0
#include "sara/models/clip_text.h"

#include <torch/types.h>

#include "tests/parity/probe/parameters.h"
#include "tests/parity/probe/probe.h"
#include "sara/models/config.h"

// config: "model" (a config.json, "clip_l" or "open_clip_h") and the keys of parameters.h. Tensors: ids, cotangent.
// Gives output (the last hidden state, or what "state" names: penultimate, pooled) and gradients.
SARA_PROBE(clip_text) {
  using namespace sara;
  const Json& model_config = in.config.at("model");
  const ClipTextConfig config = model_config == "clip_l"        ? clip_l()
                                : model_config == "open_clip_h" ? open_clip_h()
                                                                : ClipTextConfig::from_json(model_config);
  ClipTextModel text(config, tests::tensor_options(in.config));
  tests::fill_parameters(text, in.config);
  tests::choose_gradients(text, in.config);
  const auto states = text.states(in.tensors.at("ids"));
  const std::string state = in.config.value("state", "last");
  const auto result = state == "pooled" ? states.pooled : state == "penultimate" ? states.penultimate : states.last;
  tests::give_gradients(text, (result * in.tensors.at("cotangent")).sum(), out);
  out["output"] = result.detach();
}
