// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/files/json.h"

#include <cstdint>

namespace sara {

// The config.json of a BlipForQuestionAnswering; the defaults are those of the published classes.
struct BlipConfig {
  struct Vision {
    int64_t hidden_size = 768, intermediate_size = 3072, num_hidden_layers = 12, num_attention_heads = 12;
    int64_t image_size = 384;  // side in pixels
    int64_t patch_size = 16;   // must divide image_size
    double layer_norm_eps = 1e-5;
  } vision;

  // Of the question's encoder and of the answer's decoder.
  struct Text {
    int64_t vocab_size = 30524, hidden_size = 768, intermediate_size = 3072, num_hidden_layers = 12, num_attention_heads = 8;
    int64_t max_position_embeddings = 512;
    double layer_norm_eps = 1e-12;
    int64_t bos_token_id = 30522;  // [DEC], which begins an answer

    // [ENC], which begins a question: BLIP adds both to BERT's vocabulary, one behind the other.
    int64_t question_token_id() const { return bos_token_id + 1; }
  } text;

  // Throws InvalidArgument naming the key when a value is malformed or asks for a variant that is not supported; text and
  // pictures must have one width, since one cross-attention reads both.
  static BlipConfig from_json(const Json& json);
};

}  // namespace sara
