// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/files/json.h"
#include "sara/layers/activation.h"

#include <cstdint>

namespace sara {

// The config.json of a CLIPVisionModelWithProjection, or the "vision_config" of a CLIPModel. The defaults are those of the
// published classes.
struct ClipVisionConfig {
  int64_t hidden_size = 768;
  int64_t intermediate_size = 3072;
  int64_t projection_dim = 512;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 12;
  int64_t image_size = 224;  // side in pixels
  int64_t patch_size = 32;   // must divide image_size
  Activation hidden_act = Activation::quick_gelu;
  double layer_norm_eps = 1e-5;

  // Throws InvalidArgument naming the key when a value is malformed or asks for a variant that is not supported.
  static ClipVisionConfig from_json(const Json& json);
};

}  // namespace sara
