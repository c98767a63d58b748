// SPDX-License-Identifier: Apache-2.0
#include <torch/types.h>

#include "sara/train/process_memory.h"
#include "sara/weights/model_folder.h"
#include "sara/weights/precision.h"
#include "tests/parity/probe/probe.h"

// What loading a denoiser takes: the bytes of its weights, and the peak of the whole process.
SARA_PROBE(load_memory) {
  const sara::ModelFolder model(in.config.at("model").get<std::string>());
  const auto unet = model.load_unet(sara::dtype_from_precision(in.config.at("precision").get<std::string>()));
  int64_t bytes = 0;
  for (const auto& parameter : unet->parameters()) bytes += static_cast<int64_t>(parameter.nbytes());
  out["weights"] = torch::tensor(bytes);
  out["peak"] = torch::tensor(sara::peak_resident_bytes());
}
