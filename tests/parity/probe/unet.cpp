// SPDX-License-Identifier: Apache-2.0
#include "sara/models/unet.h"

#include <torch/types.h>

#include "tests/parity/probe/parameters.h"
#include "tests/parity/probe/probe.h"
#include "sara/models/config.h"

// config: "model" (a config.json, "sd15", "sd20" or "animatediff") and the keys of parameters.h. Tensors: sample, timestep, text,
// cotangent, for text_time also pooled and time_ids. Gives output and gradients.
SARA_PROBE(unet) {
  using namespace sara;
  const Json& model_config = in.config.at("model");
  const UNetConfig config = model_config == "sd15"   ? sd15()
                            : model_config == "sd20" ? sd20()
                            : model_config == "animatediff" ? animatediff_v2()
                                                            : UNetConfig::from_json(model_config);
  const auto options = tests::tensor_options(in.config);
  UNet2DConditionModel unet(config, options);
  tests::fill_parameters(unet, in.config);
  tests::choose_gradients(unet, in.config);
  AddedConditions added;
  if (in.tensors.count("pooled")) added = {in.tensors.at("pooled").to(options), in.tensors.at("time_ids")};
  const auto result = unet.forward(in.tensors.at("sample").to(options), in.tensors.at("timestep"),
                                   in.tensors.at("text").to(options), added);
  tests::give_gradients(unet, (result * in.tensors.at("cotangent")).sum(), out);
  out["output"] = result.detach();
}
