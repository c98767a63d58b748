// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "sara/files/image.h"
#include "sara/files/input_file.h"

namespace sara {

// What a codec tells about a file before its pixels are decoded. info has the stored size, not yet turned.
struct ImageHeader {
  ImageInfo info;
  int orientation = 1;  // EXIF, 1 to 8; 1 is upright
};

// Decoded pixels as stored: 8 bits, 3 channels (RGB) or 4 (RGB and alpha, not premultiplied).
struct Raster {
  int64_t width = 0, height = 0, channels = 3;
  std::vector<uint8_t> samples;
};

// The headers check the size against kMostPixels. All throw BadFile. `bytes` is the whole file, `path` names it in errors.
ImageHeader png_header(const InputFile& file);
Raster decode_png(std::string_view bytes, const std::string& path);
ImageHeader jpeg_header(const InputFile& file);
Raster decode_jpeg(std::string_view bytes, const std::string& path);
ImageHeader webp_header(const InputFile& file);
Raster decode_webp(std::string_view bytes, const std::string& path);

// BadFile unless 1 <= width * height <= kMostPixels.
void check_image_size(int64_t width, int64_t height, const std::string& path);

// Notes orientation and notices that an EXIF block (with or without its "Exif\0\0" prefix) brings.
void apply_exif(std::string_view exif, ImageHeader& header);

}  // namespace sara
