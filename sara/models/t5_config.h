// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/files/json.h"

#include <cstdint>

namespace sara {

// The config.json of a T5EncoderModel in its v1.1 form (gated GELU). The defaults are those of the published class.
struct T5Config {
  int64_t vocab_size = 32128;
  int64_t d_model = 512;  // width
  int64_t d_kv = 64;      // of one head; heads · d_kv need not be d_model
  int64_t d_ff = 2048;
  int64_t num_layers = 6;
  int64_t num_heads = 8;
  int64_t relative_attention_num_buckets = 32;
  int64_t relative_attention_max_distance = 128;
  double layer_norm_epsilon = 1e-6;

  Json source = Json::object();  // what from_json read; keys unknown here survive in to_json

  // Throws InvalidArgument naming the key when a value is malformed or asks for a variant that is not supported.
  static T5Config from_json(const Json& json);
  Json to_json() const;
};

}  // namespace sara
