// SPDX-License-Identifier: Apache-2.0
#include "sara/tokenizers/charsmap.h"

#include <utf8proc.h>

#include <array>
#include <cstring>

#include "sara/base/error.h"

namespace sara {
namespace {

constexpr size_t kShortCluster = 6;  // bytes below which a cluster is looked up as a whole

bool has_value_below(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t value_of(uint32_t unit) { return unit & 0x7fffffffu; }
uint32_t label_of(uint32_t unit) { return unit & (0x80000000u | 0xffu); }
uint32_t offset_of(uint32_t unit) { return unit >> 10 << ((unit & 1u << 9) >> 6); }

// Calls with every extended grapheme cluster.
template <class Each>
void for_each_cluster(std::string_view text, Each each) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  utf8proc_int32_t state = 0, before = -1;
  size_t begin = 0;
  for (size_t at = 0; at < text.size();) {
    utf8proc_int32_t c;
    const auto size = utf8proc_iterate(bytes + at, static_cast<utf8proc_ssize_t>(text.size() - at), &c);
    SARA_CHECK(size > 0, "not UTF-8 at byte ", at);
    if (before >= 0 && utf8proc_grapheme_break_stateful(before, c, &state)) {
      each(text.substr(begin, at - begin));
      begin = at;
    }
    before = c;
    at += static_cast<size_t>(size);
  }
  if (begin < text.size()) each(text.substr(begin));
}

size_t character_size(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
}

}  // namespace

Charsmap::Charsmap(std::string_view bytes, const std::string& source) {
  if (bytes.empty()) return;
  const auto fail = [&](const std::string& why) -> void {
    throw BadFile(source, message("its table of character replacements ", why, ". Fix: download the tokenizer again"));
  };
  uint32_t size = 0;
  if (bytes.size() < sizeof(size)) fail("is cut short");
  std::memcpy(&size, bytes.data(), sizeof(size));
  if (size % sizeof(uint32_t) != 0 || size == 0 || size > bytes.size() - sizeof(size)) fail("is cut short");
  units_.resize(size / sizeof(uint32_t));
  std::memcpy(units_.data(), bytes.data() + sizeof(size), size);
  replacements_ = std::string(bytes.substr(sizeof(size) + size));
  if (replacements_.empty() || replacements_.back() != '\0') fail("has an unended text");
}

std::optional<std::string_view> Charsmap::replacement(std::string_view text) const {
  if (units_.empty()) return std::nullopt;
  size_t place = offset_of(units_[0]);
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0) break;
    place ^= byte;
    if (place >= units_.size() || label_of(units_[place]) != byte) break;
    const uint32_t unit = units_[place];
    place ^= offset_of(unit);
    if (!has_value_below(unit)) continue;
    if (place >= units_.size() || value_of(units_[place]) >= replacements_.size()) break;
    return std::string_view(replacements_.c_str() + value_of(units_[place]));  // ends at its zero byte
  }
  return std::nullopt;
}

std::string Charsmap::normalized(std::string_view text) const {
  std::string out;
  for_each_cluster(text, [&](std::string_view cluster) {
    if (cluster.size() < kShortCluster) {
      if (const auto whole = replacement(cluster)) {
        out += *whole;
        return;
      }
    }
    for (size_t at = 0; at < cluster.size();) {
      const auto character = cluster.substr(at, character_size(cluster[at]));
      out += replacement(character).value_or(character);
      at += character.size();
    }
  });
  return out;
}

std::string base64_decoded(std::string_view text, const std::string& source) {
  std::array<int, 256> digit;
  digit.fill(-1);
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < kDigits.size(); ++i) digit[static_cast<unsigned char>(kDigits[i])] = static_cast<int>(i);
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int value = digit[static_cast<unsigned char>(c)];
    if (value < 0) throw BadFile(source, "precompiled_charsmap is not base64. Fix: download the tokenizer again");
    bits = bits << 6 | static_cast<uint32_t>(value);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out.push_back(static_cast<char>(bits >> count & 0xff));
  }
  return out;
}

}  // namespace sara
