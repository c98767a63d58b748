// SPDX-License-Identifier: Apache-2.0
#include "sara/files/image.h"

#include <algorithm>
#include <cctype>
#include <utility>

#include "sara/base/error.h"
#include "sara/files/exif.h"
#include "sara/files/image_codec.h"

namespace sara {
namespace {

enum class Format { png, jpeg, webp };

Format format_of(const InputFile& file) {
  using namespace std::string_view_literals;
  if (file.size() == 0) throw BadFile(file.path(), "is empty (0 bytes; expected an image)");
  std::string first(std::min<uint64_t>(file.size(), 16), '\0');
  file.read(0, first.data(), first.size());
  if (first.starts_with("\x89PNG\r\n\x1a\n"sv)) return Format::png;
  if (first.starts_with("\xFF\xD8\xFF"sv)) return Format::jpeg;
  if (first.starts_with("RIFF"sv) && first.substr(std::min<size_t>(8, first.size())).starts_with("WEBP")) return Format::webp;

  std::string kind = "no image of a known format";
  if (first.starts_with("BM"sv)) kind = "a BMP image, which is not supported";
  if (first.starts_with("GIF8"sv)) kind = "a GIF image, which is not supported";
  if (first.starts_with("II*\0"sv) || first.starts_with("MM\0*"sv)) kind = "a TIFF image, which is not supported";
  if (first.size() >= 12 && first.substr(4, 4) == "ftyp") kind = "an AVIF or HEIC image or a video, which is not supported";
  throw BadFile(file.path(), "is " + kind + " (expected PNG, JPEG or WebP). Fix: convert it to PNG");
}

ImageHeader header_of(const InputFile& file, Format format) {
  switch (format) {
    case Format::png:
      return png_header(file);
    case Format::jpeg:
      return jpeg_header(file);
    default:
      return webp_header(file);
  }
}

Raster decode(std::string_view bytes, const std::string& path, Format format) {
  switch (format) {
    case Format::png:
      return decode_png(bytes, path);
    case Format::jpeg:
      return decode_jpeg(bytes, path);
    default:
      return decode_webp(bytes, path);
  }
}

bool fits_extension(const std::string& path, Format format) {
  const size_t dot = path.find_last_of("./");
  std::string extension = dot == std::string::npos || path[dot] == '/' ? "" : path.substr(dot + 1);
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  switch (format) {
    case Format::png:
      return extension == "png" || extension == "apng";
    case Format::jpeg:
      return extension == "jpg" || extension == "jpeg" || extension == "jpe" || extension == "jfif";
    default:
      return extension == "webp";
  }
}

void flatten_(Raster& raster, std::array<uint8_t, 3> background) {
  if (raster.channels == 3) return;
  const size_t count = raster.samples.size() / 4;
  uint8_t* const samples = raster.samples.data();
  for (size_t i = 0; i < count; ++i) {
    const unsigned alpha = samples[4 * i + 3];
    for (size_t c = 0; c < 3; ++c)
      samples[3 * i + c] = static_cast<uint8_t>((samples[4 * i + c] * alpha + background[c] * (255 - alpha) + 127) / 255);
  }
  raster.samples.resize(count * 3);
  raster.channels = 3;
}

// The pixel (x, y) of the upright image is that of the stored one at (source_x, source_y).
Image upright(Raster&& stored, int orientation) {
  if (orientation == 1) return {stored.width, stored.height, std::move(stored.samples)};
  const bool turned = orientation >= 5;
  const int64_t w = stored.width, h = stored.height;
  Image out{turned ? h : w, turned ? w : h, std::vector<uint8_t>(stored.samples.size())};
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_below = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  uint8_t* target = out.pixels.data();
  for (int64_t y = 0; y < out.height; ++y)
    for (int64_t x = 0; x < out.width; ++x) {
      const int64_t along = turned ? y : x, down = turned ? x : y;
      const int64_t source_x = from_right ? w - 1 - along : along, source_y = from_below ? h - 1 - down : down;
      target = std::copy_n(stored.samples.data() + (source_y * w + source_x) * 3, 3, target);
    }
  return out;
}

}  // namespace

void check_image_size(int64_t width, int64_t height, const std::string& path) {
  if (width < 1 || height < 1) throw BadFile(path, message("has no pixels (", width, " x ", height, ")"));
  int64_t pixels = 0;
  if (__builtin_mul_overflow(width, height, &pixels) || pixels > kMostPixels)
    throw BadFile(path, message("is too large (expected at most ", kMostPixels, " pixels, got ", width, " x ", height, ")"));
}

void apply_exif(std::string_view exif, ImageHeader& header) {
  if (const std::optional<int> orientation = exif_orientation(exif)) {
    header.orientation = *orientation;
  } else {
    header.info.notices.push_back("the EXIF data is damaged and states no orientation; the pixels are taken as stored");
  }
}

Image read_image(const std::string& path, std::array<uint8_t, 3> background) {
  const InputFile file(path);
  const Format format = format_of(file);
  const int orientation = header_of(file, format).orientation;
  std::string bytes(file.size(), '\0');
  file.read(0, bytes.data(), bytes.size());
  Raster raster = decode(bytes, path, format);
  flatten_(raster, background);
  return upright(std::move(raster), orientation);
}

ImageInfo read_image_header(const std::string& path) {
  const InputFile file(path);
  const Format format = format_of(file);
  ImageHeader header = header_of(file, format);
  if (header.orientation >= 5) std::swap(header.info.width, header.info.height);
  if (!fits_extension(path, format))
    header.info.notices.push_back("the file's name ends unlike its content, which is " + header.info.format);
  return std::move(header.info);
}

}  // namespace sara
