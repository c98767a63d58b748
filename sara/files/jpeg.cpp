// SPDX-License-Identifier: Apache-2.0
#include <cstdio>  // jpeglib.h needs it

#include <jpeglib.h>

#include <algorithm>
#include <csetjmp>

#include "sara/base/error.h"
#include "sara/files/image_codec.h"

namespace sara {
namespace {

// As PNG's decoder: libjpeg's errors arrive by longjmp, so all state is a member and the functions it may jump out of hold no
// object with a destructor. Default settings of libjpeg-turbo (accurate integer DCT, smooth upsampling) are those of Pillow.
class JpegDecoder {
 public:
  explicit JpegDecoder(std::string_view bytes) : bytes_(bytes) {
    jpeg_.err = jpeg_std_error(&errors_);
    errors_.error_exit = &on_error;
    errors_.emit_message = &on_message;
    jpeg_.client_data = this;
    if (setjmp(jump_)) {
      created_ = false;
      return;
    }
    jpeg_create_decompress(&jpeg_);
    created_ = true;
  }
  ~JpegDecoder() {
    if (created_) jpeg_destroy_decompress(&jpeg_);
  }
  JpegDecoder(const JpegDecoder&) = delete;
  JpegDecoder& operator=(const JpegDecoder&) = delete;

  void read_header(const std::string& path) {
    if (!created_ || !guarded(&JpegDecoder::header_part)) fail(path);
    check_image_size(jpeg_.image_width, jpeg_.image_height, path);
  }

  ImageHeader header() const {
    ImageHeader header;
    header.info = {jpeg_.image_width, jpeg_.image_height, "JPEG", {}};
    if (jpeg_.out_color_space == JCS_CMYK) header.info.notices.push_back("CMYK is converted to RGB");
    bool profile = false, exif = false;
    for (jpeg_saved_marker_ptr marker = jpeg_.marker_list; marker; marker = marker->next) {
      using namespace std::string_view_literals;
      const std::string_view data(reinterpret_cast<const char*>(marker->data), marker->data_length);
      if (!exif && marker->marker == JPEG_APP0 + 1 && data.starts_with("Exif\0\0"sv)) {
        apply_exif(data, header);
        exif = true;
      }
      profile = profile || (marker->marker == JPEG_APP0 + 2 && data.starts_with("ICC_PROFILE"sv));
    }
    if (profile) header.info.notices.push_back("the ICC colour profile is ignored");
    return header;
  }

  Raster decode(const std::string& path) {
    read_header(path);
    raster_.width = jpeg_.image_width;
    raster_.height = jpeg_.image_height;
    raster_.samples.resize(static_cast<size_t>(raster_.width * raster_.height * 3));
    row_.resize(static_cast<size_t>(raster_.width * 4));
    if (!guarded(&JpegDecoder::pixel_part)) fail(path);
    return std::move(raster_);
  }

 private:
  bool guarded(void (JpegDecoder::*part)()) {
    if (setjmp(jump_)) return false;
    (this->*part)();
    return true;
  }

  void header_part() {
    jpeg_mem_src(&jpeg_, reinterpret_cast<const unsigned char*>(bytes_.data()), bytes_.size());
    jpeg_save_markers(&jpeg_, JPEG_APP0 + 1, 0xFFFF);
    jpeg_save_markers(&jpeg_, JPEG_APP0 + 2, 16);  // enough to know an ICC profile
    jpeg_read_header(&jpeg_, TRUE);
    switch (jpeg_.num_components) {
      case 1:
        jpeg_.out_color_space = JCS_GRAYSCALE;
        break;
      case 3:
        jpeg_.out_color_space = JCS_RGB;
        break;
      case 4:
        jpeg_.out_color_space = JCS_CMYK;
        break;
      default:
        stop("neither grey, nor colour, nor CMYK");
    }
  }

  void pixel_part() {
    progress_.progress_monitor = &on_progress;
    jpeg_.progress = &progress_;
    jpeg_start_decompress(&jpeg_);
    uint8_t* out = raster_.samples.data();
    while (jpeg_.output_scanline < jpeg_.output_height) {
      const bool direct = jpeg_.out_color_space == JCS_RGB;
      JSAMPROW row = direct ? out : row_.data();
      if (jpeg_read_scanlines(&jpeg_, &row, 1) != 1) stop("no more rows");
      if (!direct) convert(out);
      out += raster_.width * 3;
    }
    jpeg_finish_decompress(&jpeg_);
  }

  // One grey or CMYK row to RGB. CMYK arrives inverted: a sample is 255 minus the ink.
  void convert(uint8_t* out) const {
    const bool grey = jpeg_.out_color_space == JCS_GRAYSCALE;
    for (int64_t x = 0; x < raster_.width; ++x)
      for (int c = 0; c < 3; ++c) {
        const uint8_t* const pixel = row_.data() + (grey ? x : 4 * x);
        out[3 * x + c] = grey ? *pixel : static_cast<uint8_t>(pixel[3] - ((255 - pixel[c]) * pixel[3] + 127) / 255);
      }
  }

  [[noreturn]] void stop(const char* reason) {
    std::snprintf(reason_, sizeof(reason_), "%s", reason);
    std::longjmp(jump_, 1);
  }
  [[noreturn]] void fail(const std::string& path) {
    const std::string_view reason = reason_;
    if (reason.starts_with("Premature end")) throw BadFile(path, "damaged JPEG: the file is truncated");
    throw BadFile(path, message("damaged JPEG: ", escaped(reason)));
  }

  [[noreturn]] static void on_error(j_common_ptr jpeg) {
    auto* const self = static_cast<JpegDecoder*>(jpeg->client_data);
    (*jpeg->err->format_message)(jpeg, self->reason_);
    std::longjmp(self->jump_, 1);
  }
  // libjpeg paints grey where data is missing, warns (level -1) and goes on.
  static void on_message(j_common_ptr jpeg, int level) {
    if (level < 0) on_error(jpeg);
  }
  // A progressive file may hold any number of scans over the whole picture, each a few bytes long.
  static void on_progress(j_common_ptr jpeg) {
    constexpr int kMostScans = 500;
    if (reinterpret_cast<j_decompress_ptr>(jpeg)->input_scan_number > kMostScans)
      static_cast<JpegDecoder*>(jpeg->client_data)->stop("more than 500 scans");
  }

  std::string_view bytes_;
  jpeg_decompress_struct jpeg_{};
  jpeg_error_mgr errors_{};
  jpeg_progress_mgr progress_{};
  std::jmp_buf jump_;
  char reason_[JMSG_LENGTH_MAX] = {};
  bool created_ = false;
  Raster raster_;
  std::vector<uint8_t> row_;
};

}  // namespace

ImageHeader jpeg_header(const InputFile& file) {
  // The size mostly lies within this much; a long EXIF or ICC block before it is the reason to read on.
  constexpr uint64_t kFirstPart = 64 * 1024;
  for (uint64_t part = kFirstPart;; part *= 16) {
    const bool whole = part >= file.size();
    std::string bytes(whole ? file.size() : part, '\0');
    file.read(0, bytes.data(), bytes.size());
    JpegDecoder decoder(bytes);
    try {
      decoder.read_header(file.path());
      return decoder.header();
    } catch (const BadFile&) {
      if (whole) throw;
    }
  }
}

Raster decode_jpeg(std::string_view bytes, const std::string& path) { return JpegDecoder(bytes).decode(path); }

}  // namespace sara
