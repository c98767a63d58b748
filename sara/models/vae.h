// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/models/vae_blocks.h"
#include "sara/models/vae_config.h"

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>

namespace sara {

// The diagonal Gaussian over latents that the encoder gives. Both [B, latent_channels, h, w]; logvar in [-30, 20].
struct Posterior {
  torch::Tensor mean, logvar;
  // mean + exp(logvar / 2) · noise
  torch::Tensor sample(const torch::Tensor& noise) const;
};

// The autoencoder between pixels in [-1, 1] and latents. `scaling_factor` and `shift_factor` of the config are the
// caller's business. Parameter names equal those of the published checkpoints (248 tensors in SD 1.x); the memory of
// the parameters is not initialised.
class AutoencoderKL : public torch::nn::Module {
 public:
  explicit AutoencoderKL(const VaeConfig& config, const torch::TensorOptions& options = {});

  // pixels [B, in_channels, H, W] -> latents of [H / factor, W / factor], rounded down.
  // Throws InvalidArgument when the channels differ or the picture is smaller than one latent.
  Posterior encode(const torch::Tensor& pixels) const;
  // latent [B, latent_channels, h, w], unscaled -> [B, out_channels, h · factor, w · factor]
  torch::Tensor decode(const torch::Tensor& latent) const;

  const VaeConfig& config() const { return config_; }

 private:
  VaeConfig config_;
  std::shared_ptr<VaeEncoder> encoder_;
  std::shared_ptr<VaeDecoder> decoder_;
  std::shared_ptr<Conv2d> quant_conv_, post_quant_conv_;
};

}  // namespace sara
