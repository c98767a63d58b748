// SPDX-License-Identifier: Apache-2.0
#include "sara/models/vae.h"

#include "sara/base/error.h"
#include "sara/base/message.h"
#include "sara/layers/register_path.h"

#include <torch/types.h>

namespace sara {

torch::Tensor Posterior::sample(const torch::Tensor& noise) const { return mean + (0.5 * logvar).exp() * noise; }

AutoencoderKL::AutoencoderKL(const VaeConfig& config, const torch::TensorOptions& options) : config_(config) {
  const auto pointwise = [](int64_t channels) {
    return Conv2d::Shape{.in = channels, .out = channels, .kernel = 1, .padding = 0};
  };
  encoder_ = make_at<VaeEncoder>(*this, "encoder", config, options);
  decoder_ = make_at<VaeDecoder>(*this, "decoder", config, options);
  if (config.use_quant_conv)
    quant_conv_ = make_at<Conv2d>(*this, "quant_conv", pointwise(2 * config.latent_channels), options);
  if (config.use_post_quant_conv)
    post_quant_conv_ = make_at<Conv2d>(*this, "post_quant_conv", pointwise(config.latent_channels), options);
}

Posterior AutoencoderKL::encode(const torch::Tensor& pixels) const {
  if (pixels.dim() != 4 || pixels.size(1) != config_.in_channels || pixels.size(2) < config_.factor() ||
      pixels.size(3) < config_.factor())
    throw InvalidArgument(message("AutoencoderKL: pixels have the wrong shape (expected [B, ", config_.in_channels,
                                  ", H, W] with H and W from ", config_.factor(), ", got ", pixels.sizes(),
                                  "). Fix: match the model's config.json"));
  auto moments = encoder_->forward(pixels);
  if (quant_conv_) moments = quant_conv_->forward(moments);
  const auto halves = moments.chunk(2, 1);
  return {halves[0], halves[1].clamp(-30.0, 20.0)};
}

torch::Tensor AutoencoderKL::decode(const torch::Tensor& latent) const {
  if (latent.dim() != 4 || latent.size(1) != config_.latent_channels)
    throw InvalidArgument(message("AutoencoderKL: latents have the wrong shape (expected [B, ", config_.latent_channels,
                                  ", H, W], got ", latent.sizes(), "). Fix: match the model's config.json"));
  return decoder_->forward(post_quant_conv_ ? post_quant_conv_->forward(latent) : latent);
}

}  // namespace sara
