// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "sara/train/pretrain_options.h"

namespace sara {

// Pre-training of a small Stable Diffusion from random weights, in two stages. `layout` is a diffusers model folder without
// weights: the config.json of vae, unet and text_encoder, the scheduler and the tokenizer files. `output` is where the
// states, logs and the finished model folder (`<output>/model`) go.

// Stage 1: the autoencoder learns to draw the pictures of an image folder again (L1 + squared error + KL). Then every picture's
// posterior (mean, std) and every caption's token ids go to `<output>/latents.safetensors`, with the latents'
// scaling factor in its metadata: all that stage 2 reads.
void pretrain_autoencoder(const std::string& layout, const std::string& data, const std::string& output, const PretrainOptions& options);

// Stage 2: text encoder and UNet learn together to remove noise from the cached latents, given the captions. Reads only
// `<output>/latents.safetensors` and the layout.
void pretrain_denoiser(const std::string& layout, const std::string& output, const PretrainOptions& options);

}  // namespace sara
