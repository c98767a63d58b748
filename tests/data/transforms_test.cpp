// SPDX-License-Identifier: Apache-2.0
#include "sara/data/transforms.h"

#include <torch/types.h>

#include <set>

#include "sara/base/error.h"
#include "sara/files/resize.h"
#include "tests/data/folder.h"

namespace sara {
namespace {

TransformOptions options_for(int64_t resolution, const std::string& crop = "center", bool flip = false) {
  TransformOptions options;
  options.resolution = resolution;
  options.crop = crop;
  options.random_flip = flip;
  return options;
}

TEST(Transforms, TheShorterSideBecomesTheResolution) {
  const auto size = [](int64_t width, int64_t height) {
    const Image out = resized_to_cover(Folder::pattern(width, height, 0), options_for(16));
    return std::pair(out.width, out.height);
  };
  EXPECT_EQ(size(32, 32), std::pair(int64_t{16}, int64_t{16}));
  EXPECT_EQ(size(33, 20), std::pair(int64_t{26}, int64_t{16}));  // floor(16 * 33 / 20) = floor(26.4)
  EXPECT_EQ(size(7, 30), std::pair(int64_t{16}, int64_t{68}));   // floor(68.57), and small images grow
}

TEST(Transforms, TheFilterIsTheOneAskedFor) {
  const Image image = Folder::pattern(40, 40, 1);
  auto options = options_for(16);
  for (const auto& [name, filter] :
       {std::pair("bilinear", Filter::bilinear), {"bicubic", Filter::bicubic}, {"lanczos", Filter::lanczos}}) {
    options.resize_filter = name;
    EXPECT_EQ(resized_to_cover(image, options).pixels, resize(image, 16, 16, filter).pixels) << name;
  }
}

TEST(Transforms, TheCenterCropRoundsHalvesToEven) {
  const auto left = [](int64_t width) { return crop_corner(width, 16, options_for(16), 0, 0, 0).left; };
  EXPECT_EQ(left(16), 0);
  EXPECT_EQ(left(17), 0);  // 0.5
  EXPECT_EQ(left(18), 1);
  EXPECT_EQ(left(19), 2);  // 1.5
  EXPECT_EQ(left(21), 2);  // 2.5
  EXPECT_EQ(left(23), 4);  // 3.5
}

TEST(Transforms, RandomCropsReachEveryCornerAndDependOnTheirKeyAlone) {
  const auto options = options_for(16, "random");
  std::set<std::pair<int64_t, int64_t>> seen;
  for (int64_t epoch = 0; epoch < 200; ++epoch) {
    const Corner corner = crop_corner(18, 17, options, 5, epoch, 3);
    const Corner again = crop_corner(18, 17, options, 5, epoch, 3);
    EXPECT_EQ(corner.left, again.left);
    EXPECT_EQ(corner.top, again.top);
    seen.emplace(corner.left, corner.top);
  }
  EXPECT_EQ(seen.size(), 6u);  // 3 x 2 places
}

TEST(Transforms, CroppingTakesTheRightPixels) {
  const Image image = Folder::pattern(5, 4, 0);
  const Image part = cropped(image, {2, 1}, 3);
  for (int64_t y = 0; y < 3; ++y)
    for (int64_t x = 0; x < 9; ++x) EXPECT_EQ(part.pixels[y * 9 + x], image.pixels[(y + 1) * 15 + 6 + x]);
  EXPECT_THROW(cropped(image, {3, 1}, 3), InternalError);
}

TEST(Transforms, PixelsGoFromMinusOneToOneChannelsFirst) {
  const Image image{2, 1, {0, 51, 255, 102, 153, 204}};
  const auto pixels = to_pixels(image);
  const auto expected = torch::tensor({-1.0F, -0.2F, -0.6F, 0.2F, 1.0F, 0.6F}).view({3, 1, 2});
  EXPECT_TRUE(torch::allclose(pixels, expected, 0, 1e-6));
  EXPECT_EQ(pixels[0][0][0].item<float>(), -1.0F);
  EXPECT_EQ(pixels[2][0][0].item<float>(), 1.0F);
}

TEST(Transforms, FlipsComeInAboutHalfOfTheEpochsAndOnlyWhenAskedFor) {
  int flipped = 0;
  for (int64_t epoch = 0; epoch < 1000; ++epoch) {
    flipped += is_flipped(options_for(16, "center", true), 1, epoch, 2);
    EXPECT_FALSE(is_flipped(options_for(16), 1, epoch, 2));
  }
  EXPECT_NEAR(flipped, 500, 80);  // five standard deviations
}

TEST(Transforms, AFlippedSampleIsTheMirrorImage) {
  const Image image = Folder::pattern(24, 16, 2);
  const auto plain = training_pixels(image, options_for(16), 1, 0, 0);
  EXPECT_EQ(plain.sizes(), (std::vector<int64_t>{3, 16, 16}));
  const auto flipping = options_for(16, "center", true);
  bool saw[2] = {false, false};
  for (int64_t epoch = 0; epoch < 32; ++epoch) {
    const bool flip = is_flipped(flipping, 1, epoch, 0);
    saw[flip] = true;
    EXPECT_TRUE(torch::equal(training_pixels(image, flipping, 1, epoch, 0), flip ? plain.flip({2}) : plain));
  }
  EXPECT_TRUE(saw[0] && saw[1]);
}

TEST(Transforms, OddResolutionsAndUnknownWordsAreRefused) {
  EXPECT_NE(
      thrown<InvalidArgument>([] { check_transforms(options_for(500)); }).find("multiple of 8, got 500). Fix: use 504"),
      std::string::npos);
  thrown<InvalidArgument>([] { check_transforms(options_for(0)); });
  thrown<InvalidArgument>([] { check_transforms(options_for(64, "middle")); });
  check_transforms(options_for(64));
}

}  // namespace
}  // namespace sara
