// SPDX-License-Identifier: Apache-2.0
#include <torch/nn/module.h>
#include <torch/types.h>

#include "sara/base/error.h"
#include "sara/weights/weight_mismatch.h"
#include "tests/parity/probe/probe.h"

// config: "class" and "model" (a config.json). Gives the shape of every parameter under its name; no weight is held.
SARA_PROBE(shapes) {
  const auto model = sara::empty_network(in.config.at("class").get<std::string>(), in.config.at("model"));
  SARA_CHECK(model, in.config.at("class"));
  for (const auto& item : model->named_parameters()) out[item.key()] = torch::tensor(item.value().sizes().vec(), torch::kInt64);
}
