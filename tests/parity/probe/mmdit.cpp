// SPDX-License-Identifier: Apache-2.0
#include "sara/models/mmdit.h"

#include <torch/types.h>

#include "sara/models/config.h"
#include "tests/parity/probe/parameters.h"
#include "tests/parity/probe/probe.h"

// config: "model" (a config.json) and the keys of parameters.h. Tensors: sample, timestep, text, pooled, cotangent.
// Gives output, gradients and the position table.
SARA_PROBE(mmdit) {
  using namespace sara;
  const auto options = tests::tensor_options(in.config);
  SD3Transformer2DModel mmdit(MmditConfig::from_json(in.config.at("model")), options);
  tests::fill_parameters(mmdit, in.config);
  tests::choose_gradients(mmdit, in.config);
  const auto at = [&](const char* name) { return in.tensors.at(name).to(options); };
  const auto result = mmdit.forward(at("sample"), in.tensors.at("timestep"), at("text"), {at("pooled"), {}});
  tests::give_gradients(mmdit, (result * in.tensors.at("cotangent")).sum(), out);
  out["output"] = result.detach();
  out["table"] = mmdit.named_buffers()["pos_embed.pos_embed"];
}
