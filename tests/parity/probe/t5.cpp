// SPDX-License-Identifier: Apache-2.0
#include "sara/models/t5.h"

#include <torch/types.h>

#include "tests/parity/probe/parameters.h"
#include "tests/parity/probe/probe.h"

// config: "model" (a config.json) and the keys of parameters.h. Tensors: ids, cotangent. Gives output and gradients.
SARA_PROBE(t5) {
  using namespace sara;
  T5EncoderModel text(T5Config::from_json(in.config.at("model")), tests::tensor_options(in.config));
  tests::fill_parameters(text, in.config);
  tests::choose_gradients(text, in.config);
  const auto result = text.forward(in.tensors.at("ids"));
  tests::give_gradients(text, (result * in.tensors.at("cotangent")).sum(), out);
  out["output"] = result.detach();
}
