// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sara/tokenizers/tokenizer.h"
#include "sara/tokenizers/unigram.h"

namespace sara {

// T5's tokenizer as transformers' T5TokenizerFast runs it: special tokens found in the text become their ids, the rest is
// normalised (Charsmap), cut at white space, each word gets a leading U+2581, is cut once more in front of every further
// U+2581 and encoded (Unigram); the result is cut to max_length - 1, ended by </s> and padded on the right with <pad>.
class T5Tokenizer : public Tokenizer {
 public:
  // A folder with tokenizer.json or spiece.model. max_length: tokens that encode() gives, from 1; the folder does not
  // decide it. Throws BadFile.
  T5Tokenizer(const std::string& folder, int64_t max_length);

  Encoding encode(std::string_view text) const override;
  int64_t max_length() const override { return max_length_; }
  int64_t vocabulary_size() const { return vocabulary_size_; }  // largest id + 1: rows the text encoder must have

 private:
  T5Tokenizer(const UnigramVocabulary& vocabulary, int64_t max_length);
  void encode_words(std::string_view text, std::vector<int64_t>& ids) const;

  Unigram unigram_;
  Charsmap charsmap_;
  std::vector<AddedToken> added_;  // longest first
  int64_t max_length_, last_id_ = 0, padding_id_ = 0, vocabulary_size_ = 0;
};

}  // namespace sara
