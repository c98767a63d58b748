// SPDX-License-Identifier: Apache-2.0
#include <png.h>

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

}  // namespace

void write_png(const std::string& path, const Image& image) {
  if (image.width < 1 || image.height < 1 || image.width > PNG_UINT_31_MAX || image.height > PNG_UINT_31_MAX ||
      image.pixels.size() != static_cast<size_t>(image.width) * static_cast<size_t>(image.height) * 3)
    throw InvalidArgument(message(escaped(path), ": an image of ", image.width, " x ", image.height, " cannot have ",
                                  image.pixels.size(), " bytes"));
  write_file(path, PngEncoder(image).encode(path));
}

}  // namespace sara
