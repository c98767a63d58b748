// SPDX-License-Identifier: Apache-2.0
#include "sara/tokenizers/clip.h"

#include <algorithm>
#include <functional>

#include "sara/tokenizers/clip_words.h"
#include "sara/tokenizers/token_split.h"

namespace sara {

ClipTokenizer::ClipTokenizer(const std::string& folder) : ClipTokenizer(folder, read_vocabulary_folder(folder)) {}

ClipTokenizer::ClipTokenizer(const std::string& folder, const Vocabulary& vocabulary)
    : special_(read_special_tokens(folder, vocabulary)), bpe_(vocabulary, special_.unknown_id) {
  for (const auto& [token, id] : vocabulary.ids) vocabulary_size_ = std::max(vocabulary_size_, id + 1);
  for (AddedToken token : special_.added) {
    vocabulary_size_ = std::max(vocabulary_size_, token.id + 1);
    if (token.normalized) token.content = clip_normalized(token.content);
    (token.normalized ? normalized_tokens_ : raw_tokens_).push_back(std::move(token));
  }
  for (auto* tokens : {&raw_tokens_, &normalized_tokens_})
    std::ranges::stable_sort(*tokens, std::greater<>(), [](const AddedToken& token) { return token.content.size(); });
}

Encoding ClipTokenizer::encode(std::string_view text) const {
  check_utf8(text);
  std::vector<int64_t> caption;
  encode_raw(text, caption);
  Encoding encoding;
  encoding.length = int64_t(caption.size()) + 2;
  encoding.truncated = encoding.length > special_.max_length;
  caption.resize(std::min<size_t>(caption.size(), special_.max_length - 2));
  encoding.ids.reserve(special_.max_length);
  encoding.ids.push_back(special_.first_id);
  encoding.ids.insert(encoding.ids.end(), caption.begin(), caption.end());
  encoding.ids.push_back(special_.last_id);
  encoding.ids.resize(special_.max_length, special_.padding_id);
  return encoding;
}

void ClipTokenizer::encode_raw(std::string_view text, std::vector<int64_t>& ids) const {
  split_at_tokens(text, raw_tokens_, ids, [&](std::string_view part) {
    const std::string normalized = clip_normalized(part);
    encode_normalized(normalized, ids);
  });
}

void ClipTokenizer::encode_normalized(std::string_view text, std::vector<int64_t>& ids) const {
  split_at_tokens(text, normalized_tokens_, ids, [&](std::string_view part) {
    for (const std::string_view word : clip_words(part)) bpe_.encode(word, ids);
  });
}

}  // namespace sara
