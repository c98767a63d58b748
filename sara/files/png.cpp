// SPDX-License-Identifier: Apache-2.0
#include <png.h>

#include <array>
#include <csetjmp>
#include <cstring>

#include "sara/base/error.h"
#include "sara/files/image_codec.h"

namespace sara {
namespace {

uint32_t big_endian(const unsigned char* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

// libpng reports errors by longjmp. All that lives across such a jump is a member here; the functions that libpng may jump
// out of hold no object with a destructor.
class PngDecoder {
 public:
  explicit PngDecoder(std::string_view bytes) : bytes_(bytes) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, &on_error, &on_warning);
    info_ = png_ ? png_create_info_struct(png_) : nullptr;
  }
  ~PngDecoder() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;

  Raster decode(const std::string& path) {
    if (!png_ || !info_) throw OutOfMemory(path + ": no memory for the PNG decoder");
    if (!guarded(&PngDecoder::read_header)) fail(path);
    check_image_size(width_, height_, path);
    raster_.width = width_;
    raster_.height = height_;
    raster_.samples.resize(static_cast<size_t>(width_ * height_ * raster_.channels));
    // Interlaced images come in seven passes over the whole picture, others row by row.
    rows_.resize(row_bytes_ * static_cast<size_t>(passes_ > 1 ? height_ : 1));
    if (!guarded(&PngDecoder::read_rows)) fail(path);
    return std::move(raster_);
  }

 private:
  bool guarded(void (PngDecoder::*part)()) {
    if (setjmp(png_jmpbuf(png_))) return false;
    (this->*part)();
    return true;
  }

  void read_header() {
    png_set_read_fn(png_, this, &on_read);
    // By default a damaged tRNS is dropped with a warning, and the picture is another one.
    png_set_crc_action(png_, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // check_image_size is the limit
    png_read_info(png_, info_);
    width_ = png_get_image_width(png_, info_);
    height_ = png_get_image_height(png_, info_);
    png_set_palette_to_rgb(png_);
    png_set_expand_gray_1_2_4_to_8(png_);
    if (png_get_valid(png_, info_, PNG_INFO_tRNS)) png_set_tRNS_to_alpha(png_);
    png_set_gray_to_rgb(png_);
    passes_ = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    raster_.channels = png_get_channels(png_, info_);
    sample_bytes_ = png_get_bit_depth(png_, info_) / 8;
    row_bytes_ = png_get_rowbytes(png_, info_);
    if ((raster_.channels != 3 && raster_.channels != 4) || sample_bytes_ < 1 ||
        row_bytes_ != static_cast<size_t>(width_ * raster_.channels * sample_bytes_))
      png_error(png_, "unexpected pixel layout");
  }

  void read_rows() {
    for (int pass = 0; pass < passes_; ++pass)
      for (int64_t y = 0; y < height_; ++y) {
        uint8_t* const row = rows_.data() + (passes_ > 1 ? static_cast<size_t>(y) * row_bytes_ : 0);
        png_read_row(png_, row, nullptr);
        if (pass == passes_ - 1) store(row, y);
      }
    png_read_end(png_, nullptr);
  }

  void store(const uint8_t* row, int64_t y) {
    const size_t count = static_cast<size_t>(width_ * raster_.channels);
    uint8_t* const out = raster_.samples.data() + static_cast<size_t>(y) * count;
    if (sample_bytes_ == 1) {
      std::memcpy(out, row, count);
      return;
    }
    for (size_t i = 0; i < count; ++i) out[i] = static_cast<uint8_t>(((row[2 * i] << 8 | row[2 * i + 1]) + 128) / 257);
  }

  [[noreturn]] void fail(const std::string& path) { throw BadFile(path, message("damaged PNG: ", escaped(reason_)), position_); }

  static void on_error(png_structp png, png_const_charp reason) {
    auto* const self = static_cast<PngDecoder*>(png_get_error_ptr(png));
    std::strncpy(self->reason_, reason, sizeof(self->reason_) - 1);
    png_longjmp(png, 1);
  }
  static void on_warning(png_structp, png_const_charp) {}
  static void on_read(png_structp png, png_bytep out, size_t count) {
    auto* const self = static_cast<PngDecoder*>(png_get_io_ptr(png));
    if (count > self->bytes_.size() - self->position_) png_error(png, "the file is truncated");
    std::memcpy(out, self->bytes_.data() + self->position_, count);
    self->position_ += count;
  }

  std::string_view bytes_;
  size_t position_ = 0;
  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  char reason_[200] = {};
  int64_t width_ = 0, height_ = 0;
  int passes_ = 1, sample_bytes_ = 1;
  size_t row_bytes_ = 0;
  Raster raster_;
  std::vector<uint8_t> rows_;
};

}  // namespace

Raster decode_png(std::string_view bytes, const std::string& path) { return PngDecoder(bytes).decode(path); }

// Walks the chunks (length, type, data, checksum), which costs a small read each and shows a truncated file.
ImageHeader png_header(const InputFile& file) {
  ImageHeader header;
  header.info.format = "PNG";
  uint64_t at = 8;
  bool transparent = false, ended = false;
  while (!ended) {
    if (file.size() - at < 12) throw BadFile(file.path(), "damaged PNG: the file is truncated", at);
    std::array<unsigned char, 8> start;
    file.read(at, start.data(), start.size());
    const uint64_t length = big_endian(start.data());
    const std::string type(reinterpret_cast<const char*>(start.data() + 4), 4);
    if (length > file.size() - at - 12) throw BadFile(file.path(), "damaged PNG: the file is truncated", at);
    if (at == 8 && (type != "IHDR" || length != 13)) throw BadFile(file.path(), "damaged PNG: it does not begin with its size", at);
    if (type == "IHDR") {
      std::array<unsigned char, 10> size;  // width, height, bits a sample, colour type
      file.read(at + 8, size.data(), size.size());
      header.info.width = big_endian(size.data());
      header.info.height = big_endian(size.data() + 4);
      check_image_size(header.info.width, header.info.height, file.path());
      if (size[8] == 16) header.info.notices.push_back("16 bits a sample are scaled to 8");
      transparent = size[9] == PNG_COLOR_TYPE_GRAY_ALPHA || size[9] == PNG_COLOR_TYPE_RGB_ALPHA;
    } else if (type == "tRNS") {
      transparent = true;
    } else if (type == "iCCP") {
      header.info.notices.push_back("the ICC colour profile is ignored");
    } else if (type == "acTL") {
      header.info.notices.push_back("animated; the first frame is taken");
    } else if (type == "eXIf") {
      std::string exif(length, '\0');
      file.read(at + 8, exif.data(), exif.size());
      apply_exif(exif, header);
    }
    ended = type == "IEND";
    at += length + 12;
  }
  if (transparent) header.info.notices.push_back("transparency is composited on the background colour");
  return header;
}

}  // namespace sara
