// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>

#include <string>

#include "sara/weights/shards.h"

namespace sara {

// Fills every parameter and buffer of `module` from the files, each tensor once, read straight into the parameter's element type.
// Also accepted: T5's embedding under either of its names or both; BLIP's copy of its word embeddings; text encoders with or without the leading `text_model.`, `position_ids`, and the names early
// folders gave a VAE's attention (query, key, value, proj_attn), as linear or 1x1 convolution weights.
// Throws BadFile naming up to five missing, unknown, wrongly shaped or wrongly typed tensors (numbers with a fraction are asked for), and for NaN or Inf unless allowed.
void load_weights_(torch::nn::Module& module, const WeightFiles& files, bool allow_nonfinite = false);

}  // namespace sara
