// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/files/json.h"
#include "sara/layers/activation.h"

#include <cstdint>

namespace sara {

// The config.json of a CLIPTextModel or CLIPTextModelWithProjection. The defaults are those of the published classes.
struct ClipTextConfig {
  int64_t vocab_size = 49408;
  int64_t hidden_size = 512;
  int64_t intermediate_size = 2048;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 8;
  int64_t max_position_embeddings = 77;
  Activation hidden_act = Activation::quick_gelu;
  double layer_norm_eps = 1e-5;
  // Ends a caption; the pooled output is taken at its first place. 2 stands in files made before the key meant anything:
  // then the place of the largest id is taken.
  int64_t eos_token_id = 49407;
  bool with_projection = false;  // the class: CLIPTextModelWithProjection maps the pooled output to projection_dim
  int64_t projection_dim = 512;
  double initializer_factor = 1.0;  // scales every standard deviation of a fresh model

  Json source = Json::object();  // what from_json read; keys unknown here survive in to_json

  // Throws InvalidArgument naming the key when a value is malformed or asks for a variant that is not supported.
  static ClipTextConfig from_json(const Json& json);
  Json to_json() const;
};

}  // namespace sara
