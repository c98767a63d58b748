// SPDX-License-Identifier: Apache-2.0
#include <webp/decode.h>
#include <webp/demux.h>

#include <algorithm>
#include <array>
#include <memory>

#include "sara/base/error.h"
#include "sara/files/image_codec.h"

namespace sara {
namespace {

uint32_t little_endian(const unsigned char* bytes) {
  return uint32_t{bytes[3]} << 24 | uint32_t{bytes[2]} << 16 | uint32_t{bytes[1]} << 8 | bytes[0];
}

const char* status_text(VP8StatusCode status) {
  switch (status) {
    case VP8_STATUS_OUT_OF_MEMORY:
      return "out of memory";
    case VP8_STATUS_UNSUPPORTED_FEATURE:
      return "unsupported feature";
    case VP8_STATUS_NOT_ENOUGH_DATA:
    case VP8_STATUS_SUSPENDED:
      return "the file is truncated";
    default:
      return "the data makes no sense";
  }
}

const uint8_t* data_of(std::string_view bytes) { return reinterpret_cast<const uint8_t*>(bytes.data()); }

WebPBitstreamFeatures features_of(std::string_view bytes, const std::string& path) {
  WebPBitstreamFeatures features;
  const VP8StatusCode status = WebPGetFeatures(data_of(bytes), bytes.size(), &features);
  if (status != VP8_STATUS_OK) throw BadFile(path, message("damaged WebP: ", status_text(status)));
  check_image_size(features.width, features.height, path);
  return features;
}

// The first frame may cover a part of the canvas; the rest is transparent.
Raster decode_first_frame(std::string_view bytes, const std::string& path) {
  WebPAnimDecoderOptions options;
  if (!WebPAnimDecoderOptionsInit(&options)) throw InternalError("libwebpdemux has another version than its header");
  options.color_mode = MODE_RGBA;
  const WebPData data{data_of(bytes), bytes.size()};
  const std::unique_ptr<WebPAnimDecoder, decltype(&WebPAnimDecoderDelete)> decoder(WebPAnimDecoderNew(&data, &options),
                                                                                   &WebPAnimDecoderDelete);
  WebPAnimInfo info;
  uint8_t* frame = nullptr;
  int time = 0;
  if (!decoder || !WebPAnimDecoderGetInfo(decoder.get(), &info) || !WebPAnimDecoderGetNext(decoder.get(), &frame, &time))
    throw BadFile(path, "damaged WebP: the first frame of the animation cannot be decoded");
  Raster raster{info.canvas_width, info.canvas_height, 4, {}};
  raster.samples.assign(frame, frame + raster.width * raster.height * 4);
  return raster;
}

}  // namespace

Raster decode_webp(std::string_view bytes, const std::string& path) {
  const WebPBitstreamFeatures features = features_of(bytes, path);
  if (features.has_animation) return decode_first_frame(bytes, path);
  Raster raster{features.width, features.height, features.has_alpha ? 4 : 3, {}};
  raster.samples.resize(static_cast<size_t>(raster.width * raster.height * raster.channels));
  WebPDecoderConfig config;
  if (!WebPInitDecoderConfig(&config)) throw InternalError("libwebp has another version than its header");
  config.output.colorspace = features.has_alpha ? MODE_RGBA : MODE_RGB;
  config.output.is_external_memory = 1;
  config.output.u.RGBA.rgba = raster.samples.data();
  config.output.u.RGBA.stride = static_cast<int>(raster.width * raster.channels);
  config.output.u.RGBA.size = raster.samples.size();
  const VP8StatusCode status = WebPDecode(data_of(bytes), bytes.size(), &config);
  if (status != VP8_STATUS_OK) throw BadFile(path, message("damaged WebP: ", status_text(status)));
  return raster;
}

// RIFF: "RIFF", length, "WEBP", then chunks of type, length, data, padded to even length.
ImageHeader webp_header(const InputFile& file) {
  std::string first(std::min<uint64_t>(file.size(), 4096), '\0');
  file.read(0, first.data(), first.size());
  const uint64_t end = uint64_t{8} + little_endian(reinterpret_cast<const unsigned char*>(first.data()) + 4);
  if (end > file.size())
    throw BadFile(file.path(), message("damaged WebP: the file is truncated (", end - file.size(), " bytes missing of ", end, ")"));
  const WebPBitstreamFeatures features = features_of(first, file.path());
  ImageHeader header;
  header.info = {features.width, features.height, "WebP", {}};
  if (features.has_animation) header.info.notices.push_back("animated; the first frame is taken");
  if (features.has_alpha) header.info.notices.push_back("transparency is composited on the background colour");

  for (uint64_t at = 12; at + 8 <= end;) {
    std::array<unsigned char, 8> start;
    file.read(at, start.data(), start.size());
    const std::string_view type(reinterpret_cast<const char*>(start.data()), 4);
    const uint64_t length = little_endian(start.data() + 4);
    if (length > end - at - 8) throw BadFile(file.path(), "damaged WebP: a chunk is longer than the file", at);
    if (type == "ICCP") header.info.notices.push_back("the ICC colour profile is ignored");
    if (type == "EXIF") {
      std::string exif(length, '\0');
      file.read(at + 8, exif.data(), exif.size());
      apply_exif(exif, header);
    }
    at += 8 + length + (length & 1);
  }
  return header;
}

}  // namespace sara
