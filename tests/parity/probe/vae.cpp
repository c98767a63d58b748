// SPDX-License-Identifier: Apache-2.0
#include "sara/models/vae.h"

#include <torch/types.h>

#include "tests/parity/probe/parameters.h"
#include "tests/parity/probe/probe.h"
#include "sara/models/config.h"

// config: "model" (a config.json or "sd") and the keys of parameters.h. Tensors: pixels, noise, latent and the
// cotangents of the sampled latent and of the decoded picture. Gives mean, logvar, sample, decoded and gradients.
SARA_PROBE(vae) {
  using namespace sara;
  const Json& model_config = in.config.at("model");
  const VaeConfig config = model_config == "sd" ? sd_vae() : VaeConfig::from_json(model_config);
  AutoencoderKL vae(config, tests::tensor_options(in.config));
  tests::fill_parameters(vae, in.config);
  tests::choose_gradients(vae, in.config);
  const Posterior posterior = vae.encode(in.tensors.at("pixels"));
  const auto sample = posterior.sample(in.tensors.at("noise"));
  const auto decoded = vae.decode(in.tensors.at("latent"));
  const auto loss =
      (sample * in.tensors.at("sample_cotangent")).sum() + (decoded * in.tensors.at("decoded_cotangent")).sum();
  tests::give_gradients(vae, loss, out);
  out["mean"] = posterior.mean.detach();
  out["logvar"] = posterior.logvar.detach();
  out["sample"] = sample.detach();
  out["decoded"] = decoded.detach();
}
