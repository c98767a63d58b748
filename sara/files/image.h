// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace sara {

// 8-bit RGB, interleaved, row by row from the top: pixels[(y * width + x) * 3 + channel].
struct Image {
  int64_t width = 0, height = 0;
  std::vector<uint8_t> pixels;
};

struct ImageInfo {
  int64_t width = 0, height = 0;     // after the EXIF orientation, so those of the Image that read_image gives
  std::string format;                // "PNG", "JPEG", "WebP"
  std::vector<std::string> notices;  // what read_image does beyond decoding: "16 bits a sample are scaled to 8", ...
};

// Larger images are refused: a small file can declare one that fills the memory.
inline constexpr int64_t kMostPixels = 89'478'485;

// Reads PNG, JPEG or WebP, told apart by content, never by name. What the pixels go through:
// - EXIF orientation is applied; ICC profiles are ignored; the first frame of an animation is taken.
// - Transparency is composited on `background`: (c a + b (255 - a)) / 255, rounded.
// - 16 bits a sample become 8 by (v + 128) / 257; grey becomes three equal channels; CMYK (Adobe's inverted kind, as all
//   programs write it) becomes RGB by R = K - C K / 255.
// JPEG and WebP pixels equal Pillow's bit for bit. Any warning of the JPEG decoder makes the file bad: it is how a
// truncated or damaged file announces itself.
// Throws BadFile with the reason, IoError.
Image read_image(const std::string& path, std::array<uint8_t, 3> background = {255, 255, 255});

// Size, format and notices without decoding pixels: reads a few kilobytes. Throws like read_image for what shows by then
// (unsupported, too large, truncated PNG and WebP).
ImageInfo read_image_header(const std::string& path);

// Writes an 8-bit RGB PNG atomically; equal pixels give equal bytes. InvalidArgument when sizes and pixels disagree.
void write_png(const std::string& path, const Image& image);

// Writes frames of one size as an animated PNG that repeats for ever, each frame shown for 1 / frames_per_second; programs that
// know no animation show the first. InvalidArgument for no frames or unequal sizes.
void write_animated_png(const std::string& path, const std::vector<Image>& frames, int64_t frames_per_second);

}  // namespace sara
