// SPDX-License-Identifier: Apache-2.0
// tests/parity/test_images.py holds the comparison with Pillow; here are the cases that paper settles.
#include "sara/files/resize.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "sara/base/error.h"

namespace sara {
namespace {

Image grey(int64_t width, int64_t height, const std::vector<uint8_t>& values) {
  Image image{width, height, {}};
  for (const uint8_t value : values) image.pixels.insert(image.pixels.end(), 3, value);
  return image;
}

std::vector<uint8_t> red(const Image& image) {
  std::vector<uint8_t> out;
  for (size_t i = 0; i < image.pixels.size(); i += 3) out.push_back(image.pixels[i]);
  return out;
}

TEST(Resize, HalvingWithTheTriangleWeighsOneThreeThreeOne) {
  // scale 2, support 2: output 0 of 4 pixels has its centre at 1 and taps 0, 1, 2 with weights 3, 3, 1 (the fourth is outside).
  const Image out = resize(grey(4, 1, {70, 140, 210, 0}), 2, 1, Filter::bilinear);
  EXPECT_EQ(red(out), (std::vector<uint8_t>{(3 * 70 + 3 * 140 + 210) / 7, (140 + 3 * 210 + 0 + 3) / 7}));
}

TEST(Resize, DoublingWithTheTriangleInterpolates) {
  const Image out = resize(grey(2, 1, {0, 100}), 4, 1, Filter::bilinear);
  EXPECT_EQ(red(out), (std::vector<uint8_t>{0, 25, 75, 100}));
  const Image tall = resize(grey(1, 2, {0, 100}), 1, 4, Filter::bilinear);
  EXPECT_EQ(red(tall), red(out));
}

TEST(Resize, AFlatImageStaysFlatUnderEveryFilterAndSize) {
  for (const Filter filter : {Filter::bilinear, Filter::bicubic, Filter::lanczos})
    for (const uint8_t value : {0, 1, 127, 255})
      for (const int64_t size : {1, 2, 3, 7, 64}) {
        const Image out = resize(grey(5, 4, std::vector<uint8_t>(20, value)), size, size + 1, filter);
        EXPECT_EQ(out.width, size);
        EXPECT_EQ(out.height, size + 1);
        EXPECT_EQ(red(out), std::vector<uint8_t>(static_cast<size_t>(size * (size + 1)), value));
      }
}

TEST(Resize, OvershootIsClampedToBytes) {
  const Image out = resize(grey(4, 1, {0, 0, 255, 255}), 16, 1, Filter::lanczos);
  EXPECT_EQ(*std::min_element(out.pixels.begin(), out.pixels.end()), 0);
  EXPECT_EQ(*std::max_element(out.pixels.begin(), out.pixels.end()), 255);
}

TEST(Resize, TheSameSizeGivesTheSamePixelsAndChannelsDoNotMix) {
  const Image image{2, 1, {1, 2, 3, 4, 5, 6}};
  EXPECT_EQ(resize(image, 2, 1, Filter::lanczos).pixels, image.pixels);
  const Image wide = resize(Image{2, 1, {255, 0, 9, 255, 0, 9}}, 5, 3, Filter::bicubic);
  for (size_t i = 0; i < wide.pixels.size(); i += 3) {
    EXPECT_EQ(wide.pixels[i], 255);
    EXPECT_EQ(wide.pixels[i + 1], 0);
    EXPECT_EQ(wide.pixels[i + 2], 9);
  }
}

TEST(Resize, ImpossibleSizesAreRefused) {
  const Image image = grey(2, 2, {0, 0, 0, 0});
  EXPECT_THROW(resize(image, 0, 1, Filter::bilinear), InvalidArgument);
  EXPECT_THROW(resize(image, 1, -1, Filter::bilinear), InvalidArgument);
  EXPECT_THROW(resize(image, 100'000, 100'000, Filter::bilinear), InvalidArgument);
  EXPECT_THROW(resize(Image{2, 2, {0}}, 1, 1, Filter::bilinear), InvalidArgument);
  EXPECT_THROW(resize(grey(1, 1000, std::vector<uint8_t>(1000)), 1'000'000, 1, Filter::bilinear), InvalidArgument);
}

}  // namespace
}  // namespace sara
