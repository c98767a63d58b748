// SPDX-License-Identifier: Apache-2.0
#include "sara/tokenizers/clip_words.h"

#include <utf8proc.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cstdlib>
#include <memory>

#include "sara/base/error.h"

namespace sara {
namespace {

// Unicode's White_Space. PCRE2's own \s also counts U+180E, which is no space since Unicode 6.3.
#define SARA_SPACE R"(\x{9}-\x{d} \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000})"

// Case is not folded here: the text is lower case already, and folding would take U+017F for an s in 's.
constexpr char kWords[] = R"(<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\p{L}\p{N})" SARA_SPACE R"(]+)";

void append(std::string& out, utf8proc_int32_t c) {
  utf8proc_uint8_t bytes[4];
  out.append(reinterpret_cast<const char*>(bytes), utf8proc_encode_char(c, bytes));
}

const utf8proc_uint8_t* as_bytes(std::string_view text) { return reinterpret_cast<const utf8proc_uint8_t*>(text.data()); }

std::string composed(std::string_view text) {
  utf8proc_uint8_t* bytes = nullptr;
  const auto size = utf8proc_map(as_bytes(text), text.size(), &bytes, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  SARA_CHECK(size >= 0, utf8proc_errmsg(size));
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(bytes, &std::free);
  return std::string(reinterpret_cast<const char*>(bytes), size);
}

struct Pattern {
  Pattern() {
    int error = 0;
    PCRE2_SIZE offset = 0;
    code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(kWords), PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &error, &offset, nullptr);
    SARA_CHECK(code != nullptr, "error ", error, " at ", offset);
    pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without JIT the interpreter does the same, slower
  }
  pcre2_code* code;
};

}  // namespace

bool is_white_space(int32_t c) {
  return (c >= 0x9 && c <= 0xd) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 ||
         c == 0x202f || c == 0x205f || c == 0x3000;
}

void check_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    utf8proc_int32_t c;
    const auto size = utf8proc_iterate(as_bytes(text) + at, text.size() - at, &c);
    if (size <= 0)
      throw InvalidArgument(message("text is not UTF-8 at byte ", at, " (0x", std::hex, int(as_bytes(text)[at]), "). Fix: save it as UTF-8"));
    at += size;
  }
}

std::string clip_normalized(std::string_view text) {
  const std::string nfc = composed(text);
  std::string out;
  out.reserve(nfc.size());
  bool after_space = false;
  for (size_t at = 0; at < nfc.size();) {
    utf8proc_int32_t c;
    at += utf8proc_iterate(as_bytes(nfc) + at, nfc.size() - at, &c);
    const bool space = is_white_space(c);
    if (space) {
      if (!after_space) out += ' ';
    } else if (c == 0x130) {
      out += "i\u0307";  // the one letter whose lower case is two characters
    } else {
      append(out, utf8proc_tolower(c));
    }
    after_space = space;
  }
  return out;
}

std::vector<std::string_view> clip_words(std::string_view normalized) {
  static const Pattern pattern;
  const std::unique_ptr<pcre2_match_data, decltype(&pcre2_match_data_free)> match(pcre2_match_data_create_from_pattern(pattern.code, nullptr),
                                                                                  &pcre2_match_data_free);
  std::vector<std::string_view> words;
  size_t at = 0;
  while (at < normalized.size()) {
    const int found =
        pcre2_match(pattern.code, reinterpret_cast<PCRE2_SPTR>(normalized.data()), normalized.size(), at, PCRE2_NO_UTF_CHECK, match.get(), nullptr);
    if (found == PCRE2_ERROR_NOMATCH) break;
    SARA_CHECK(found > 0, "pcre2 error ", found);
    const PCRE2_SIZE* span = pcre2_get_ovector_pointer(match.get());
    const std::string_view word = normalized.substr(span[0], span[1] - span[0]);
    at = span[1];
    // A special token that reaches this point was not taken as one; CLIP keeps it apart from its neighbours, in three words.
    if (word == "<|startoftext|>" || word == "<|endoftext|>") {
      words.insert(words.end(), {word.substr(0, 2), word.substr(2, word.size() - 4), word.substr(word.size() - 2)});
    } else {
      words.push_back(word);
    }
  }
  return words;
}

}  // namespace sara
