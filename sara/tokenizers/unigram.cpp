// SPDX-License-Identifier: Apache-2.0
#include "sara/tokenizers/unigram.h"

#include <algorithm>
#include <limits>

#include "sara/base/error.h"

namespace sara {
namespace {

constexpr double kUnknownPenalty = 10;

// The best way to reach a place in the word.
struct Reached {
  double score = 0;
  size_t from = 0;
  int64_t id = 0;
  bool found = false;
};

size_t size_of_character(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

}  // namespace

Unigram::Unigram(const UnigramVocabulary& vocabulary) : unknown_id_(vocabulary.unknown_id) {
  double rarest = std::numeric_limits<double>::infinity();
  for (size_t id = 0; id < vocabulary.pieces.size(); ++id) {
    const auto& [piece, score] = vocabulary.pieces[id];
    if (!pieces_.emplace(piece, std::pair{int64_t(id), score}).second)
      throw BadFile(vocabulary.source, message("piece \"", escaped(piece), "\" is listed twice. Fix: download the tokenizer again"));
    longest_ = std::max(longest_, piece.size());
    rarest = std::min(rarest, score);
  }
  if (unknown_id_ < 0 || unknown_id_ >= int64_t(vocabulary.pieces.size()))
    throw BadFile(vocabulary.source, message("the unknown piece has no place among ", vocabulary.pieces.size(), " pieces (got ", unknown_id_,
                                             "). Fix: download the tokenizer again"));
  unknown_score_ = rarest - kUnknownPenalty;
}

void Unigram::encode(std::string_view word, std::vector<int64_t>& ids) const {
  std::vector<Reached> best(word.size() + 1);
  best[0].found = true;
  const auto reach = [&](size_t to, size_t from, double score, int64_t id) {
    if (!best[to].found || score > best[to].score) best[to] = {score, from, id, true};
  };
  for (size_t at = 0; at < word.size(); at += size_of_character(word[at])) {
    const size_t one = size_of_character(word[at]);
    bool whole_character = false;
    for (size_t size = 1; size <= std::min(longest_, word.size() - at); ++size) {
      const auto piece = pieces_.find(std::string(word.substr(at, size)));
      if (piece == pieces_.end()) continue;
      reach(at + size, at, best[at].score + piece->second.second, piece->second.first);
      whole_character |= size == one;
    }
    if (!whole_character) reach(at + one, at, best[at].score + unknown_score_, unknown_id_);
  }
  std::vector<int64_t> backwards;
  for (size_t at = word.size(); at > 0; at = best[at].from) {
    const bool again = best[at].id == unknown_id_ && !backwards.empty() && backwards.back() == unknown_id_;
    if (!again) backwards.push_back(best[at].id);
  }
  ids.insert(ids.end(), backwards.rbegin(), backwards.rend());
}

}  // namespace sara
