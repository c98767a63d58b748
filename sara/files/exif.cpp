// SPDX-License-Identifier: Apache-2.0
#include "sara/files/exif.h"

#include <cstdint>

namespace sara {
namespace {

// A TIFF block: numbers of either byte order, read only where the block has them.
struct Tiff {
  std::string_view bytes;
  bool big_endian;

  std::optional<uint32_t> number(size_t at, size_t length) const {
    if (at > bytes.size() || length > bytes.size() - at) return std::nullopt;
    uint32_t value = 0;
    for (size_t i = 0; i < length; ++i) {
      const size_t index = big_endian ? at + i : at + length - 1 - i;
      value = value << 8 | static_cast<unsigned char>(bytes[index]);
    }
    return value;
  }
};

}  // namespace

std::optional<int> exif_orientation(std::string_view block) {
  using namespace std::string_view_literals;
  if (block.starts_with("Exif\0\0"sv)) block.remove_prefix(6);
  const bool little = block.starts_with("II*\0"sv);
  if (!little && !block.starts_with("MM\0*"sv)) return std::nullopt;
  const Tiff tiff{block, !little};

  const auto directory = tiff.number(4, 4);
  if (!directory) return std::nullopt;
  const auto count = tiff.number(*directory, 2);
  if (!count) return std::nullopt;
  for (uint32_t i = 0; i < *count; ++i) {
    const size_t entry = size_t{*directory} + 2 + size_t{12} * i;  // tag, type, count, value
    const auto tag = tiff.number(entry, 2), type = tiff.number(entry + 2, 2), items = tiff.number(entry + 4, 4);
    if (!tag || !type || !items) return std::nullopt;
    if (*tag != 0x0112) continue;
    constexpr uint32_t kShort = 3, kLong = 4;
    if (*items != 1 || (*type != kShort && *type != kLong)) return std::nullopt;
    const auto value = tiff.number(entry + 8, *type == kShort ? 2 : 4);
    if (!value || *value < 1 || *value > 8) return std::nullopt;
    return static_cast<int>(*value);
  }
  return 1;
}

}  // namespace sara
