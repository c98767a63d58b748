// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "sara/tokenizers/charsmap.h"
#include "sara/tokenizers/special_tokens.h"

namespace sara {

// What a unigram tokenizer knows; the id of a piece is its place.
struct UnigramVocabulary {
  std::vector<std::pair<std::string, double>> pieces;  // each with its log probability
  int64_t unknown_id = 0;
  Charsmap charsmap;
  std::vector<AddedToken> added;  // found in the text as written, before all else; their ids may lie behind the pieces
  std::string source;             // the file, for messages
};

// tokenizer.json (model.type Unigram) when the folder has it, else spiece.model (SentencePiece's protocol buffer), which
// gets T5's 100 sentinel tokens <extra_id_99> ... <extra_id_0> behind its pieces.
// Throws BadFile when the folder has neither, for another kind of model, and for settings no T5 tokenizer has.
UnigramVocabulary read_unigram_folder(const std::string& folder);

// A word into the pieces whose log probabilities have the largest sum (Kudo 2018, section 3.2; Viterbi). A character that
// no piece covers costs 10 more than the rarest piece; neighbouring ones become one unknown.
class Unigram {
 public:
  // Throws BadFile for no pieces, an unknown_id outside them, or a piece listed twice.
  explicit Unigram(const UnigramVocabulary& vocabulary);
  // `word` is UTF-8.
  void encode(std::string_view word, std::vector<int64_t>& ids) const;

 private:
  std::unordered_map<std::string, std::pair<int64_t, double>> pieces_;
  size_t longest_ = 0;  // bytes
  int64_t unknown_id_;
  double unknown_score_;
};

}  // namespace sara
