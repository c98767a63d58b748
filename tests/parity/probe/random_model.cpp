// SPDX-License-Identifier: Apache-2.0
#include <torch/nn/module.h>

#include "sara/models/config.h"
#include "sara/models/clip_text.h"
#include "sara/models/initialize.h"
#include "sara/models/unet.h"
#include "sara/models/vae.h"
#include "tests/parity/probe/probe.h"

namespace {

void give_weights(torch::nn::Module& model, const std::string& component, uint64_t seed, sara::TensorMap& out) {
  sara::initialize_(model, seed);
  for (const auto& item : model.named_parameters()) out[component + "." + item.key()] = item.value().detach();
}

}  // namespace

// config: "unet", "vae", "text_encoder" (config.json contents) and "seed". Gives all weights as initialize_ makes them.
SARA_PROBE(random_model) {
  using namespace sara;
  const auto seed = in.config.at("seed").get<uint64_t>();
  UNet2DConditionModel unet(UNetConfig::from_json(in.config.at("unet")));
  give_weights(unet, "unet", seed, out);
  AutoencoderKL vae(VaeConfig::from_json(in.config.at("vae")));
  give_weights(vae, "vae", seed, out);
  ClipTextModel text(ClipTextConfig::from_json(in.config.at("text_encoder")));
  give_weights(text, "text_encoder", seed, out);
}
