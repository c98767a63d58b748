// SPDX-License-Identifier: Apache-2.0
#include "sara/models/t5_config.h"

#include "sara/base/error.h"
#include "sara/base/message.h"
#include "sara/models/config_reader.h"

#include <string>
#include <vector>

namespace sara {
namespace {

constexpr const char* kGated = "gated-gelu";

}  // namespace

T5Config T5Config::from_json(const Json& json) {
  const ConfigReader read(json, "T5EncoderModel");
  read.only("model_type", {"t5"});
  read.only("feed_forward_proj", {kGated});
  if (!read.given("feed_forward_proj"))
    throw InvalidArgument(message("T5EncoderModel config: \"feed_forward_proj\" is missing (expected ", kGated, "). Fix: use a T5 v1.1 encoder"));
  T5Config c;
  c.source = json;
  c.vocab_size = read.integer("vocab_size", c.vocab_size);
  c.d_model = read.integer("d_model", c.d_model);
  c.d_kv = read.integer("d_kv", c.d_kv);
  c.d_ff = read.integer("d_ff", c.d_ff);
  c.num_layers = read.integer("num_layers", c.num_layers);
  c.num_heads = read.integer("num_heads", c.num_heads);
  c.relative_attention_num_buckets = read.integer("relative_attention_num_buckets", c.relative_attention_num_buckets, 4);
  c.relative_attention_max_distance = read.integer("relative_attention_max_distance", c.relative_attention_max_distance);
  if (c.relative_attention_max_distance <= c.relative_attention_num_buckets / 4)
    throw InvalidArgument(message("T5EncoderModel config: \"relative_attention_max_distance\" must be above a quarter of the buckets (got ",
                                  c.relative_attention_max_distance, "). Fix: correct config.json"));
  c.layer_norm_epsilon = read.positive("layer_norm_epsilon", c.layer_norm_epsilon);
  return c;
}

Json T5Config::to_json() const {
  Json json = source;
  if (!json.contains("architectures")) json["architectures"] = std::vector<std::string>{"T5EncoderModel"};
  json["model_type"] = "t5";
  json["feed_forward_proj"] = kGated;
  json["vocab_size"] = vocab_size;
  json["d_model"] = d_model;
  json["d_kv"] = d_kv;
  json["d_ff"] = d_ff;
  json["num_layers"] = num_layers;
  json["num_heads"] = num_heads;
  json["relative_attention_num_buckets"] = relative_attention_num_buckets;
  json["relative_attention_max_distance"] = relative_attention_max_distance;
  json["layer_norm_epsilon"] = layer_norm_epsilon;
  return json;
}

}  // namespace sara
