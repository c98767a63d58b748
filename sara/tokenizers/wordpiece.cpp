// SPDX-License-Identifier: Apache-2.0
#include "sara/tokenizers/wordpiece.h"

#include <algorithm>

#include "sara/base/error.h"
#include "sara/files/atomic_file.h"
#include "sara/tokenizers/clip_words.h"

namespace sara {
namespace {

constexpr int64_t kLongestWord = 100;  // characters

bool begins_character(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }

}  // namespace

WordPiece::WordPiece(const std::string& vocab_path) {
  const std::string text = read_file(vocab_path);
  try {
    check_utf8(text);
  } catch (const InvalidArgument& error) {
    throw BadFile(vocab_path, error.what());
  }
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const auto line = static_cast<int64_t>(ids_.size());
    const auto [place, fresh] = ids_.emplace(text.substr(at, end - at), line);
    if (!fresh)
      throw BadFile(vocab_path, message("line ", line + 1, ": \"", escaped(place->first), "\" is there already on line ", place->second + 1,
                                        ". Fix: take the file from the model's folder again"));
    at = end + 1;
  }
  const auto unknown = id("[UNK]");
  if (!unknown) throw BadFile(vocab_path, "has no [UNK] (expected BERT's vocab.txt). Fix: take the file from the model's folder again");
  unknown_id_ = *unknown;
}

std::optional<int64_t> WordPiece::id(const std::string& piece) const {
  const auto found = ids_.find(piece);
  return found == ids_.end() ? std::nullopt : std::optional(found->second);
}

void WordPiece::encode(std::string_view word, std::vector<int64_t>& ids) const {
  const size_t before = ids.size();
  const auto give_up = [&] {
    ids.resize(before);
    ids.push_back(unknown_id_);
  };
  if (std::ranges::count_if(word, begins_character) > kLongestWord) return give_up();
  for (size_t at = 0; at < word.size();) {
    size_t end = word.size();
    std::optional<int64_t> piece;
    for (; end > at; --end) {
      if (end < word.size() && !begins_character(word[end])) continue;
      if ((piece = id((at > 0 ? "##" : "") + std::string(word.substr(at, end - at))))) break;
    }
    if (!piece) return give_up();
    ids.push_back(*piece);
    at = end;
  }
}

}  // namespace sara
