// SPDX-License-Identifier: Apache-2.0
#include "sara/tokenizers/bert.h"

#include <utf8proc.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "sara/base/error.h"
#include "sara/files/json.h"
#include "sara/tokenizers/clip_words.h"
#include "sara/tokenizers/token_split.h"

namespace sara {
namespace {

// Calls `take` with every code point.
template <class Take>
void each_code_point(std::string_view text, Take take) {
  for (size_t at = 0; at < text.size();) {
    utf8proc_int32_t c = 0;
    at += static_cast<size_t>(utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at, static_cast<utf8proc_ssize_t>(text.size() - at), &c));
    take(c);
  }
}

void put(std::string& out, utf8proc_int32_t c) {
  utf8proc_uint8_t bytes[4];
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(utf8proc_encode_char(c, bytes)));
}

bool is_dropped(utf8proc_int32_t c) {
  if (c == '\t' || c == '\n' || c == '\r') return false;
  const auto category = utf8proc_category(c);
  return c == 0 || c == 0xFFFD || category == UTF8PROC_CATEGORY_CC || category == UTF8PROC_CATEGORY_CF || category == UTF8PROC_CATEGORY_CO;
}

// The blocks that transformers' tokenizer names.
bool is_chinese(utf8proc_int32_t c) {
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

bool is_punctuation(utf8proc_int32_t c) {
  if (c < 0x80) return c > 0x20 && c < 0x7F && !std::isalnum(static_cast<unsigned char>(c));
  const auto category = utf8proc_category(c);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

std::string decomposed(const std::string& text) {
  utf8proc_uint8_t* bytes = nullptr;
  const auto size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()), &bytes,
                                 static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE));
  SARA_CHECK(size >= 0, utf8proc_errmsg(size));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(bytes, &std::free);
  return std::string(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
}

}  // namespace

std::vector<std::string> bert_words(std::string_view text) {
  std::string clean;
  each_code_point(text, [&](utf8proc_int32_t c) {
    if (is_dropped(c)) return;
    if (is_white_space(c)) {
      clean += ' ';
    } else if (is_chinese(c)) {
      clean += ' ';
      put(clean, c);
      clean += ' ';
    } else {
      put(clean, c);
    }
  });
  std::vector<std::string> words;
  bool open = false;  // the last word goes on
  each_code_point(decomposed(clean), [&](utf8proc_int32_t c) {
    if (utf8proc_category(c) == UTF8PROC_CATEGORY_MN) return;
    const bool alone = is_punctuation(c);
    if (is_white_space(c)) {
      open = false;
      return;
    }
    if (!open || alone) words.emplace_back();
    put(words.back(), utf8proc_tolower(c));
    open = !alone;
  });
  return words;
}

BertTokenizer::BertTokenizer(const std::string& folder, int64_t max_length)
    : path_((std::filesystem::path(folder) / "vocab.txt").string()), pieces_(path_), max_length_(max_length) {
  SARA_CHECK(max_length >= 3, "max_length ", max_length);
  const auto config_path = (std::filesystem::path(folder) / "tokenizer_config.json").string();
  if (std::filesystem::exists(config_path)) {
    const Json config = read_json(config_path);
    for (const char* key : {"do_lower_case", "tokenize_chinese_chars", "strip_accents"})
      if (config.is_object() && config.value(key, Json()) == Json(false))
        throw BadFile(config_path, message(key, " is false (expected true: an uncased BERT, as BLIP has). Fix: take the tokenizer of the model's own folder"));
  }
  for (const char* token : {"[MASK]", "[CLS]", "[SEP]", "[PAD]", "[UNK]"}) {
    if (const auto id = pieces_.id(token)) special_.push_back({token, *id});
  }
  first_id_ = word_id("[CLS]");
  last_id_ = word_id("[SEP]");
  padding_id_ = word_id("[PAD]");
}

int64_t BertTokenizer::word_id(const std::string& word) const {
  const auto id = pieces_.id(word);
  if (!id) throw BadFile(path_, message("has no \"", escaped(word), "\" (expected BERT's vocab.txt). Fix: take the file from the model's folder again"));
  return *id;
}

Encoding BertTokenizer::encode(std::string_view text) const {
  check_utf8(text);
  std::vector<int64_t> caption;
  split_at_tokens(text, special_, caption, [&](std::string_view part) {
    for (const auto& word : bert_words(part)) pieces_.encode(word, caption);
  });
  Encoding encoding;
  encoding.length = static_cast<int64_t>(caption.size()) + 2;
  encoding.truncated = encoding.length > max_length_;
  caption.resize(std::min<size_t>(caption.size(), static_cast<size_t>(max_length_ - 2)));
  encoding.ids.push_back(first_id_);
  encoding.ids.insert(encoding.ids.end(), caption.begin(), caption.end());
  encoding.ids.push_back(last_id_);
  encoding.ids.resize(static_cast<size_t>(max_length_), padding_id_);
  return encoding;
}

}  // namespace sara
