// SPDX-License-Identifier: Apache-2.0
#include <png.h>
#include <zlib.h>

#include <csetjmp>
#include <cstring>

#include "sara/base/error.h"
#include "sara/files/atomic_file.h"
#include "sara/files/image.h"

namespace sara {
namespace {

// See PngDecoder for why all state is a member.
class PngEncoder {
 public:
  explicit PngEncoder(const Image& image) : image_(image) {
    png_ = png_create_write_struct(PNG_LIBPNG_VER_STRING, this, &on_error, &on_warning);
    info_ = png_ ? png_create_info_struct(png_) : nullptr;
  }
  ~PngEncoder() { png_destroy_write_struct(&png_, &info_); }
  PngEncoder(const PngEncoder&) = delete;
  PngEncoder& operator=(const PngEncoder&) = delete;

  std::string encode(const std::string& path) {
    if (!png_ || !info_) throw OutOfMemory(path + ": no memory for the PNG encoder");
    if (setjmp(png_jmpbuf(png_))) throw InvalidArgument(message(escaped(path), ": cannot be written as PNG: ", reason_));
    write();
    return std::move(out_);
  }

 private:
  void write() {
    png_set_write_fn(png_, this, &on_write, &on_flush);
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    // Stated, so that the bytes do not follow a library's default.
    png_set_compression_level(png_, 6);
    png_set_filter(png_, PNG_FILTER_TYPE_BASE, PNG_ALL_FILTERS);
    png_set_IHDR(png_, info_, static_cast<png_uint_32>(image_.width), static_cast<png_uint_32>(image_.height), 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png_, info_);
    for (int64_t y = 0; y < image_.height; ++y) png_write_row(png_, image_.pixels.data() + y * image_.width * 3);
    png_write_end(png_, info_);
  }

  static void on_error(png_structp png, png_const_charp reason) {
    auto* const self = static_cast<PngEncoder*>(png_get_error_ptr(png));
    std::strncpy(self->reason_, reason, sizeof(self->reason_) - 1);
    png_longjmp(png, 1);
  }
  static void on_warning(png_structp, png_const_charp) {}
  static void on_flush(png_structp) {}
  static void on_write(png_structp png, png_bytep bytes, size_t count) {
    auto* const self = static_cast<PngEncoder*>(png_get_io_ptr(png));
    bool stored = true;
    try {
      self->out_.append(reinterpret_cast<const char*>(bytes), count);
    } catch (const std::bad_alloc&) {
      stored = false;  // no exception may pass through libpng's frames
    }
    if (!stored) png_error(png, "out of memory");
  }

  const Image& image_;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  char reason_[200] = {};
  std::string out_;
};

std::string encoded_png(const std::string& path, const Image& image) {
  if (image.width < 1 || image.height < 1 || image.width > PNG_UINT_31_MAX || image.height > PNG_UINT_31_MAX ||
      image.pixels.size() != static_cast<size_t>(image.width) * static_cast<size_t>(image.height) * 3)
    throw InvalidArgument(message(escaped(path), ": an image of ", image.width, " x ", image.height, " cannot have ",
                                  image.pixels.size(), " bytes"));
  return PngEncoder(image).encode(path);
}

std::string big_endian_bytes(uint64_t value, int bytes) {
  std::string out;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
  return out;
}

uint32_t big_endian_at(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<uint8_t>(bytes[at + i]);
  return value;
}

std::string chunk(const std::string& type, const std::string& data) {
  const std::string checked = type + data;
  const auto sum = crc32(0, reinterpret_cast<const Bytef*>(checked.data()), static_cast<uInt>(checked.size()));
  return big_endian_bytes(data.size(), 4) + checked + big_endian_bytes(sum, 4);
}

// The chunks of these types in a whole PNG, as they stand.
std::vector<std::string> chunks_of(const std::string& png, const std::string& type) {
  constexpr size_t kSignature = 8, kAround = 12;  // length, type and checksum
  std::vector<std::string> out;
  for (size_t at = kSignature; at < png.size();) {
    const size_t size = big_endian_at(png, at) + kAround;
    if (png.compare(at + 4, 4, type) == 0) out.push_back(png.substr(at, size));
    at += size;
  }
  return out;
}

}  // namespace

void write_png(const std::string& path, const Image& image) { write_file(path, encoded_png(path, image)); }

void write_animated_png(const std::string& path, const std::vector<Image>& frames, int64_t frames_per_second) {
  if (frames.empty()) throw InvalidArgument(message(escaped(path), ": an animation of no frames"));
  uint64_t sequence = 0;
  std::string out;
  for (size_t i = 0; i < frames.size(); ++i) {
    if (frames[i].width != frames[0].width || frames[i].height != frames[0].height)
      throw InvalidArgument(message(escaped(path), ": frame ", i, " has another size than the first"));
    const std::string png = encoded_png(path, frames[i]);
    if (i == 0) out = png.substr(0, 8) + chunks_of(png, "IHDR").at(0) + chunk("acTL", big_endian_bytes(frames.size(), 4) + big_endian_bytes(0, 4));
    // Size, place, delay as a fraction, then how the frame is left and put: no clearing, no blending.
    out += chunk("fcTL", big_endian_bytes(sequence++, 4) + big_endian_bytes(frames[i].width, 4) + big_endian_bytes(frames[i].height, 4) + big_endian_bytes(0, 8) + big_endian_bytes(1, 2) +
                             big_endian_bytes(frames_per_second, 2) + big_endian_bytes(0, 2));
    for (const auto& data : chunks_of(png, "IDAT"))
      out += i == 0 ? data : chunk("fdAT", big_endian_bytes(sequence++, 4) + data.substr(8, data.size() - 12));
  }
  write_file(path, out + chunk("IEND", ""));
}

}  // namespace sara
