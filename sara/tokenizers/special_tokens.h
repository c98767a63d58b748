// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sara/tokenizers/vocabulary.h"

namespace sara {

// A token found by its literal text before anything is cut into words.
struct AddedToken {
  std::string content;
  int64_t id = 0;
  bool normalized = false;  // looked for in the normalised (lower-case) text instead of the text as written
};

// The tokens that frame a caption, and its longest length.
struct SpecialTokens {
  std::string first = "<|startoftext|>", last = "<|endoftext|>", unknown = "<|endoftext|>", padding = "<|endoftext|>";
  int64_t first_id = 0, last_id = 0, unknown_id = 0, padding_id = 0;
  std::vector<AddedToken> added;  // the four above and any further ones of the files, each content once
  int64_t max_length = 77;        // tokens, first and last included
};

// Reads tokenizer_config.json, special_tokens_map.json, added_tokens.json and the added_tokens of tokenizer.json, as far
// as the folder has them; CLIP's values above stand for what no file says. special_tokens_map.json wins over
// tokenizer_config.json unless the latter lists added_tokens_decoder, as in transformers. A model_max_length above
// 10^9 is transformers' mark for "not set" and means 77.
// Throws BadFile for a tokenizer class other than CLIP's, padding or cutting on the left, tokens that swallow
// neighbouring spaces (lstrip, rstrip, single_word), a token that has no id, and a model_max_length below 2.
SpecialTokens read_special_tokens(const std::string& folder, const Vocabulary& vocabulary);

}  // namespace sara
