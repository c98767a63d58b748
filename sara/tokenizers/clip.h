// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sara/tokenizers/bpe.h"
#include "sara/tokenizers/special_tokens.h"
#include "sara/tokenizers/tokenizer.h"

namespace sara {

// CLIP's tokenizer as transformers' fast CLIPTokenizer runs it:
// special tokens found in the text become their ids, the rest is normalised (clip_normalized), cut into words (clip_words)
// and merged (Bpe); the result is cut to max_length - 2, framed by the first and last token, and padded on the right.
class ClipTokenizer : public Tokenizer {
 public:
  // A folder with vocab.json and merges.txt, or tokenizer.json; the other files are optional (special_tokens.h).
  // Throws BadFile.
  explicit ClipTokenizer(const std::string& folder);

  Encoding encode(std::string_view text) const override;
  int64_t max_length() const override { return special_.max_length; }

  int64_t first_id() const { return special_.first_id; }
  int64_t last_id() const { return special_.last_id; }
  int64_t padding_id() const { return special_.padding_id; }
  int64_t vocabulary_size() const { return vocabulary_size_; }  // largest id + 1: rows the text encoder must have

 private:
  void encode_raw(std::string_view text, std::vector<int64_t>& ids) const;
  void encode_normalized(std::string_view text, std::vector<int64_t>& ids) const;

  ClipTokenizer(const std::string& folder, const Vocabulary& vocabulary);

  SpecialTokens special_;
  Bpe bpe_;
  std::vector<AddedToken> raw_tokens_, normalized_tokens_;  // longest first
  int64_t vocabulary_size_ = 0;
};

}  // namespace sara
