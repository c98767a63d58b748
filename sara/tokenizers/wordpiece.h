// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace sara {

// BERT's pieces of words: `vocab.txt` has one a line, its id being the line; "##" begins those that go on with a word.
class WordPiece {
 public:
  // Throws BadFile: not UTF-8, a piece twice, no [UNK].
  explicit WordPiece(const std::string& vocab_path);

  // Adds the ids of one word: the longest piece that begins it, then the longest that goes on, ...; [UNK] alone when that
  // leads nowhere, and for words of more than 100 characters.
  void encode(std::string_view word, std::vector<int64_t>& ids) const;

  std::optional<int64_t> id(const std::string& piece) const;
  int64_t size() const { return static_cast<int64_t>(ids_.size()); }

 private:
  std::unordered_map<std::string, int64_t> ids_;
  int64_t unknown_id_ = 0;
};

}  // namespace sara
