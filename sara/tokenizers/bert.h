// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sara/tokenizers/special_tokens.h"
#include "sara/tokenizers/tokenizer.h"
#include "sara/tokenizers/wordpiece.h"

namespace sara {

// The words of a text as BERT (uncased) sees them: control characters away, Chinese characters on their own, accents away (NFD
// without nonspacing marks), lower case; cut at white space, every punctuation character a word of its own. `text` must be UTF-8.
std::vector<std::string> bert_words(std::string_view text);

// BERT's tokenizer as transformers' BertTokenizer runs it: special tokens found in the text become their ids, the rest is cut
// into bert_words and these into pieces (WordPiece); the result is cut to max_length - 2, framed by [CLS] and [SEP], and padded
// on the right with [PAD].
class BertTokenizer : public Tokenizer {
 public:
  // A folder with vocab.txt; tokenizer_config.json, when there, must ask for lower case. max_length: tokens that encode() gives,
  // from 3. Throws BadFile.
  BertTokenizer(const std::string& folder, int64_t max_length);

  Encoding encode(std::string_view text) const override;
  int64_t max_length() const override { return max_length_; }
  int64_t vocabulary_size() const { return pieces_.size(); }

  // The id of a word that is one piece. Throws BadFile when it is not.
  int64_t word_id(const std::string& word) const;

 private:
  std::string path_;
  WordPiece pieces_;
  std::vector<AddedToken> special_;
  int64_t max_length_, first_id_, last_id_, padding_id_;
};

}  // namespace sara
