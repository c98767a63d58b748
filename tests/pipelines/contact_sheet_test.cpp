// SPDX-License-Identifier: Apache-2.0
#include "sara/pipelines/contact_sheet.h"

#include <gtest/gtest.h>

#include "sara/base/error.h"
#include "sara/pipelines/bitmap_font.h"

namespace sara {
namespace {

Image plain(int64_t width, int64_t height, uint8_t value) {
  return {width, height, std::vector<uint8_t>(static_cast<size_t>(width * height * 3), value)};
}

uint8_t at(const Image& image, int64_t x, int64_t y) { return image.pixels[(y * image.width + x) * 3]; }

int64_t dark(const Image& image) {
  int64_t count = 0;
  for (size_t i = 0; i < image.pixels.size(); i += 3) count += image.pixels[i] == 0;
  return count;
}

TEST(ContactSheet, PicturesLieInRowsAndColumnsWithAMargin) {
  const auto sheet = contact_sheet({{plain(2, 2, 10), plain(2, 2, 20)}, {plain(2, 2, 30)}}, {}, {}, 3);
  EXPECT_EQ(sheet.width, 6 + 2 * (6 + 6));
  EXPECT_EQ(sheet.height, 6 + 2 * (6 + 6));
  EXPECT_EQ(at(sheet, 5, 5), 255);
  EXPECT_EQ(at(sheet, 6, 6), 10);
  EXPECT_EQ(at(sheet, 11, 11), 10);
  EXPECT_EQ(at(sheet, 12, 6), 255);
  EXPECT_EQ(at(sheet, 18, 6), 20);
  EXPECT_EQ(at(sheet, 6, 18), 30);
  EXPECT_EQ(at(sheet, 18, 18), 255);  // no fourth picture
}

TEST(ContactSheet, LabelsAddSpaceAndDarkDots) {
  const auto bare = contact_sheet({{plain(64, 64, 128)}}, {}, {}, 1);
  const auto labelled = contact_sheet({{plain(64, 64, 128)}}, {"a row"}, {"a column"}, 1);
  EXPECT_EQ(dark(bare), 0);
  EXPECT_GT(dark(labelled), 40);
  EXPECT_GT(labelled.width, bare.width);
  EXPECT_GT(labelled.height, bare.height);
}

TEST(ContactSheet, LongLabelsNeverCoverAPicture) {
  const std::string text(500, 'W');
  const auto sheet = contact_sheet({{plain(16, 16, 128), plain(16, 16, 128)}}, {text}, {text, text}, 1);
  int64_t grey = 0;
  for (size_t i = 0; i < sheet.pixels.size(); i += 3) grey += sheet.pixels[i] == 128;
  EXPECT_EQ(grey, 2 * 16 * 16);
}

TEST(ContactSheet, SmallerPicturesAreCentred) {
  const auto sheet = contact_sheet({{plain(8, 8, 10), plain(4, 2, 20)}}, {}, {}, 1);
  EXPECT_EQ(at(sheet, 6 + 8 + 6 + 2, 6 + 3), 20);
  EXPECT_EQ(at(sheet, 6 + 8 + 6 + 1, 6 + 3), 255);
}

TEST(ContactSheet, NothingToShowIsRefused) {
  EXPECT_THROW(contact_sheet({}, {}, {}, 1), InvalidArgument);
  EXPECT_THROW(contact_sheet({{}}, {}, {}, 1), InvalidArgument);
  EXPECT_THROW(contact_sheet({{plain(2, 2, 0)}}, {}, {}, 0), InvalidArgument);
  EXPECT_THROW(contact_sheet({{plain(2, 2, 0)}}, {"a", "b"}, {}, 1), InvalidArgument);
  EXPECT_THROW(contact_sheet({{plain(2, 2, 0)}}, {}, {"a", "b"}, 1), InvalidArgument);
}

TEST(BitmapFont, TheLetterTIsATee) {
  auto image = plain(5, 7, 255);
  draw_text(image, U"T", 0, 0);
  for (int64_t y = 0; y < 7; ++y) {
    for (int64_t x = 0; x < 5; ++x) EXPECT_EQ(at(image, x, y), y == 0 || x == 2 ? 0 : 255);
  }
}

TEST(BitmapFont, EveryPrintableLetterHasItsOwnShape) {
  std::vector<std::vector<uint8_t>> seen;
  for (char32_t letter = U' '; letter < 127; ++letter) {
    auto image = plain(5, 7, 255);
    draw_text(image, std::u32string(1, letter), 0, 0);
    EXPECT_EQ(std::count(seen.begin(), seen.end(), image.pixels), 0) << char(letter);
    seen.push_back(image.pixels);
  }
}

TEST(BitmapFont, TextOutsideThePictureIsLeftOut) {
  auto image = plain(4, 4, 255);
  draw_text(image, U"MMM", -7, -3, 2);
  draw_text(image, U"M", 100, 100);
  EXPECT_EQ(image.pixels.size(), 4u * 4 * 3);
}

TEST(BitmapFont, Utf8BecomesOneLetterACharacter) {
  EXPECT_EQ(code_points("aα€🐈"), (std::u32string{U'a', U'\u03b1', U'\u20ac', U'\U0001f408'}));
  EXPECT_EQ(code_points("a\xff\xe2\x82"), (std::u32string{U'a', U'\ufffd', U'\ufffd', U'\ufffd'}));
}

}  // namespace
}  // namespace sara
