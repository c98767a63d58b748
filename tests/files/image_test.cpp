// SPDX-License-Identifier: Apache-2.0
// tests/parity/test_images.py compares decoded pixels with Pillow; here is what needs no second decoder.
#include "sara/files/image.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "sara/base/error.h"
#include "sara/files/atomic_file.h"
#include "sara/files/exif.h"

namespace sara {
namespace {

struct ImageFile : testing::Test {
  ImageFile() {
    std::string pattern = testing::TempDir() + "sara_image_XXXXXX";
    folder = mkdtemp(pattern.data());
    path = folder + "/image.png";
  }
  ~ImageFile() override { std::filesystem::remove_all(folder); }

  std::string folder, path;
};

Image gradient(int64_t width, int64_t height) {
  Image image{width, height, {}};
  for (int64_t i = 0; i < width * height * 3; ++i) image.pixels.push_back(static_cast<uint8_t>(i * 7));
  return image;
}

std::string image_refusal(const std::string& path) {
  try {
    read_image(path);
  } catch (const BadFile& error) {
    return error.reason();
  }
  return "";
}

// A TIFF block with one directory entry.
std::string exif(bool big_endian, uint16_t tag, uint16_t type, uint32_t count, uint32_t value) {
  std::string out = big_endian ? std::string("MM\0*", 4) : std::string("II*\0", 4);
  const auto add = [&](uint32_t number, int bytes) {
    for (int i = 0; i < bytes; ++i) out += static_cast<char>(number >> 8 * (big_endian ? bytes - 1 - i : i));
  };
  add(8, 4);
  add(1, 2);
  add(tag, 2);
  add(type, 2);
  add(count, 4);
  add(value, type == 3 ? 2 : 4);
  if (type == 3) add(0, 2);
  add(0, 4);
  return out;
}

TEST_F(ImageFile, AnAnimationShowsItsFirstFrameToReadersOfPicturesAndNeedsFramesOfOneSize) {
  const auto first = gradient(5, 3);
  auto second = first;
  second.pixels[0] = 200;
  write_animated_png(path, {first, second}, 8);
  EXPECT_EQ(read_image(path).pixels, first.pixels);
  EXPECT_THROW(write_animated_png(path, {}, 8), InvalidArgument);
  EXPECT_THROW(write_animated_png(path, {first, gradient(3, 5)}, 8), InvalidArgument);
}

TEST_F(ImageFile, APngIsReadAsItWasWrittenAndEqualPixelsGiveEqualBytes) {
  for (const auto& [width, height] : {std::pair<int64_t, int64_t>{1, 1}, {5, 3}, {300, 1}, {1, 300}}) {
    const Image image = gradient(width, height);
    write_png(path, image);
    const std::string bytes = read_file(path);
    const Image back = read_image(path);
    EXPECT_EQ(back.width, width);
    EXPECT_EQ(back.height, height);
    EXPECT_EQ(back.pixels, image.pixels);
    write_png(path, back);
    EXPECT_EQ(read_file(path), bytes);
  }
}

TEST_F(ImageFile, TheHeaderTellsSizeAndFormatWithoutNoticesForAPlainImage) {
  write_png(path, gradient(5, 3));
  const ImageInfo info = read_image_header(path);
  EXPECT_EQ(info.width, 5);
  EXPECT_EQ(info.height, 3);
  EXPECT_EQ(info.format, "PNG");
  EXPECT_TRUE(info.notices.empty());
  const std::string renamed = folder + "/image.jpg";
  std::filesystem::rename(path, renamed);
  ASSERT_EQ(read_image_header(renamed).notices.size(), 1u);
  EXPECT_EQ(read_image(renamed).pixels, gradient(5, 3).pixels);  // content counts, not the name
}

TEST_F(ImageFile, EveryTruncationAndEveryFlippedByteOfAPngIsNoticed) {
  write_png(path, gradient(4, 4));
  const std::string whole = read_file(path);
  for (size_t i = 0; i < whole.size(); ++i) {
    write_file(path, whole.substr(0, i));
    EXPECT_NE(image_refusal(path), "") << "cut at " << i;
    EXPECT_THROW(read_image_header(path), BadFile) << "cut at " << i;
    std::string flipped = whole;
    flipped[i] = static_cast<char>(flipped[i] ^ 0x10);
    write_file(path, flipped);
    EXPECT_NE(image_refusal(path), "") << "flipped at " << i;
  }
}

TEST_F(ImageFile, WhatIsNoUsableImageSaysWhy) {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "is empty"},
      {"BM" + std::string(60, 'x'), "BMP"},
      {"GIF89a" + std::string(60, 'x'), "GIF"},
      {std::string("II*\0", 4) + std::string(60, 'x'), "TIFF"},
      {std::string("\0\0\0 ftypavif", 12) + std::string(60, 'x'), "AVIF"},
      {"hello", "no image of a known format"},
      {"\xFF\xD8\xFF", "damaged JPEG"},
      {"\xFF\xD8\xFF\xE0" + std::string(100, 'x'), "damaged JPEG"},
      {"RIFF\x20" + std::string(3, '\0') + "WEBPVP8 ", "truncated"},
      {"\x89PNG\r\n\x1a\n", "truncated"},
  };
  for (const auto& [content, reason] : cases) {
    write_file(path, content);
    EXPECT_NE(image_refusal(path).find(reason), std::string::npos) << reason << ": " << image_refusal(path);
    EXPECT_THROW(read_image_header(path), BadFile) << reason;
  }
}

TEST_F(ImageFile, AFileThatDeclaresTooManyPixelsIsRefusedBeforeAnythingIsAllocated) {
  write_png(path, gradient(2, 2));
  std::string bytes = read_file(path);
  bytes.replace(16, 8, std::string("\x00\x01\x00\x00\x00\x01\x00\x00", 8));  // 65536 x 65536
  write_file(path, bytes);
  EXPECT_NE(image_refusal(path).find("is too large (expected at most 89478485 pixels, got 65536 x 65536)"), std::string::npos) << image_refusal(path);
  EXPECT_THROW(read_image_header(path), BadFile);
}

TEST_F(ImageFile, TheWriterRefusesPixelsThatDoNotFitTheSize) {
  EXPECT_THROW(write_png(path, Image{2, 2, {1, 2, 3}}), InvalidArgument);
  EXPECT_THROW(write_png(path, Image{0, 0, {}}), InvalidArgument);
  EXPECT_TRUE(std::filesystem::is_empty(folder));
}

TEST(Exif, TheOrientationIsFoundInEitherByteOrder) {
  for (const bool big : {false, true}) {
    EXPECT_EQ(exif_orientation(exif(big, 0x0112, 3, 1, 6)), 6);
    EXPECT_EQ(exif_orientation(std::string("Exif\0\0", 6) + exif(big, 0x0112, 4, 1, 8)), 8);
    EXPECT_EQ(exif_orientation(exif(big, 0x010F, 3, 1, 6)), 1);  // another tag
  }
}

TEST(Exif, DamagedBlocksStateNoOrientation) {
  EXPECT_EQ(exif_orientation(exif(false, 0x0112, 3, 1, 9)), std::nullopt);
  EXPECT_EQ(exif_orientation(exif(false, 0x0112, 3, 1, 0)), std::nullopt);
  EXPECT_EQ(exif_orientation(exif(false, 0x0112, 2, 1, 6)), std::nullopt);  // text
  const std::string whole = exif(true, 0x0112, 3, 1, 6);
  for (size_t i = 0; i < 20; ++i) EXPECT_EQ(exif_orientation(whole.substr(0, i)), std::nullopt) << i;
  std::string far = whole;
  far.replace(4, 4, "\xFF\xFF\xFF\xFF");
  EXPECT_EQ(exif_orientation(far), std::nullopt);
}

}  // namespace
}  // namespace sara
