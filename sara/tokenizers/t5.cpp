// SPDX-License-Identifier: Apache-2.0
#include "sara/tokenizers/t5.h"

#include <utf8proc.h>

#include <algorithm>
#include <functional>

#include "sara/base/error.h"
#include "sara/tokenizers/clip_words.h"
#include "sara/tokenizers/token_split.h"

namespace sara {
namespace {

constexpr std::string_view kWordMark = "\u2581";

// The runs of characters between white space.
std::vector<std::string_view> visible_runs(std::string_view text) {
  std::vector<std::string_view> runs;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    utf8proc_int32_t c;
    const auto size = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at, static_cast<utf8proc_ssize_t>(text.size() - at), &c);
    SARA_CHECK(size > 0, "not UTF-8 at byte ", at);
    if (is_white_space(c)) {
      if (at > begin) runs.push_back(text.substr(begin, at - begin));
      begin = at + static_cast<size_t>(size);
    }
    at += static_cast<size_t>(size);
  }
  if (begin < text.size()) runs.push_back(text.substr(begin));
  return runs;
}

int64_t id_of_piece(const UnigramVocabulary& vocabulary, const std::string& piece) {
  for (const auto& token : vocabulary.added)
    if (token.content == piece) return token.id;
  for (size_t id = 0; id < vocabulary.pieces.size(); ++id)
    if (vocabulary.pieces[id].first == piece) return int64_t(id);
  throw BadFile(vocabulary.source, message("has no piece ", piece, ". Fix: use the tokenizer_3 folder of a Stable Diffusion 3 model"));
}

}  // namespace

T5Tokenizer::T5Tokenizer(const std::string& folder, int64_t max_length) : T5Tokenizer(read_unigram_folder(folder), max_length) {}

T5Tokenizer::T5Tokenizer(const UnigramVocabulary& vocabulary, int64_t max_length)
    : unigram_(vocabulary), charsmap_(vocabulary.charsmap), added_(vocabulary.added), max_length_(max_length) {
  if (max_length < 1) throw InvalidArgument(message("T5Tokenizer: max_length must be at least 1, got ", max_length));
  last_id_ = id_of_piece(vocabulary, "</s>");
  padding_id_ = id_of_piece(vocabulary, "<pad>");
  vocabulary_size_ = int64_t(vocabulary.pieces.size());
  for (const auto& token : added_) vocabulary_size_ = std::max(vocabulary_size_, token.id + 1);
  std::ranges::stable_sort(added_, std::greater<>(), [](const AddedToken& token) { return token.content.size(); });
}

Encoding T5Tokenizer::encode(std::string_view text) const {
  check_utf8(text);
  Encoding encoding;
  split_at_tokens(text, added_, encoding.ids, [&](std::string_view part) { encode_words(part, encoding.ids); });
  encoding.length = int64_t(encoding.ids.size()) + 1;
  encoding.truncated = encoding.length > max_length_;
  encoding.ids.resize(std::min<size_t>(encoding.ids.size(), max_length_ - 1));
  encoding.ids.push_back(last_id_);
  encoding.ids.resize(max_length_, padding_id_);
  return encoding;
}

void T5Tokenizer::encode_words(std::string_view text, std::vector<int64_t>& ids) const {
  const std::string normalized = charsmap_.normalized(text);
  for (const auto run : visible_runs(normalized)) {
    const std::string word = run.starts_with(kWordMark) ? std::string(run) : std::string(kWordMark) + std::string(run);
    for (size_t begin = 0; begin < word.size();) {
      const size_t end = std::min(word.find(kWordMark, begin + 1), word.size());
      unigram_.encode(std::string_view(word).substr(begin, end - begin), ids);
      begin = end;
    }
  }
}

}  // namespace sara
