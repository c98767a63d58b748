// SPDX-License-Identifier: Apache-2.0
#include <torch/types.h>

#include "sara/train/process_memory.h"
#include "sara/weights/model_folder.h"
#include "sara/weights/precision.h"
#include "tests/parity/probe/probe.h"

// What loading one part of a model takes: the bytes of its weights and tables, and the peak of the whole process. config: "model", "precision",
// for other parts than the denoiser "part", for motion modules beside the model "motion_adapter".
SARA_PROBE(load_memory) {
  sara::ModelReading reading;
  if (in.config.contains("motion_adapter")) reading.motion_adapter = in.config.at("motion_adapter").get<std::string>();
  const sara::ModelFolder model(in.config.at("model").get<std::string>(), reading);
  const auto dtype = sara::dtype_from_precision(in.config.at("precision").get<std::string>());
  const std::string part = in.config.value("part", model.denoiser_name());
  std::shared_ptr<torch::nn::Module> network;
  if (part == model.denoiser_name())
    network = model.load_denoiser(dtype);
  else if (part == "text_encoder_3")
    network = model.load_t5(part, dtype);
  else
    network = model.load_clip_text(part, dtype);
  int64_t bytes = 0;
  for (const auto& tensor : network->parameters()) bytes += static_cast<int64_t>(tensor.nbytes());
  for (const auto& tensor : network->buffers()) bytes += static_cast<int64_t>(tensor.nbytes());
  out["weights"] = torch::tensor(bytes);
  out["peak"] = torch::tensor(sara::peak_resident_bytes());
}
