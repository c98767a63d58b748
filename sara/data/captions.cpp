// SPDX-License-Identifier: Apache-2.0
#include "sara/data/captions.h"

#include <filesystem>
#include <set>

#include "sara/base/error.h"
#include "sara/base/random.h"
#include "sara/files/input_file.h"

namespace sara {

namespace fs = std::filesystem;

std::optional<size_t> first_bad_utf8(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const auto lead = static_cast<unsigned char>(text[i]);
    size_t more = 0;
    uint32_t point = lead, least = 0;
    if (lead >= 0xF0 && lead < 0xF8) {
      more = 3, point = lead & 0x07, least = 0x10000;
    } else if (lead >= 0xE0 && lead < 0xF0) {
      more = 2, point = lead & 0x0F, least = 0x800;
    } else if (lead >= 0xC0 && lead < 0xE0) {
      more = 1, point = lead & 0x1F, least = 0x80;
    } else if (lead >= 0x80) {
      return i;
    }
    if (text.size() - i <= more) return i;
    for (size_t k = 1; k <= more; ++k) {
      const auto byte = static_cast<unsigned char>(text[i + k]);
      if ((byte & 0xC0) != 0x80) return i;
      point = point << 6 | (byte & 0x3F);
    }
    if (point < least || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) return i;
    i += more + 1;
  }
  return std::nullopt;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n\v\f";
  const size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::optional<std::string> caption_file_of(const std::string& image, const std::string& extension) {
  std::optional<std::string> found;
  for (const auto& candidate : std::set<std::string>{extension, ".caption", ".txt"}) {
    const std::string path = fs::path(image).replace_extension(candidate).string();
    if (!fs::is_regular_file(path)) continue;
    if (found)
      throw BadFile(image, message("has two caption files, ", fs::path(*found).filename().string(), " and ",
                                   fs::path(path).filename().string(), ". Fix: keep one of them"));
    found = path;
  }
  return found;
}

std::string read_caption_file(const std::string& path) {
  std::string text = read_file(path);
  if (const auto bad = first_bad_utf8(text))
    throw BadFile(path, "the caption is not UTF-8. Fix: save the file as UTF-8", *bad);
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  return std::string(trimmed(std::string_view(text).substr(0, text.find('\n'))));
}

int64_t drawn_caption(int64_t count, uint64_t seed, int64_t epoch, int64_t sample) {
  SARA_CHECK(count > 0, "count ", count);
  if (count == 1) return 0;
  RandomStream stream(seed, "caption", static_cast<uint64_t>(epoch), static_cast<uint64_t>(sample));
  return static_cast<int64_t>(stream.below(static_cast<uint64_t>(count)));
}

}  // namespace sara
