// SPDX-License-Identifier: Apache-2.0
#include "sara/data/latent_cache.h"

#include <torch/types.h>

#include <limits>

#include "sara/base/error.h"
#include "sara/files/input_file.h"
#include "tests/data/folder.h"

namespace sara {
namespace {

// Stands for an image encoder: mean is every eighth pixel, std its square. Counts the images it is given.
struct CountingImageEncoder {
  int64_t images = 0;
  LatentDistribution operator()(const torch::Tensor& pixels) {
    images += pixels.size(0);
    const auto mean = pixels.slice(2, 0, {}, 8).slice(3, 0, {}, 8).contiguous();
    return {mean, mean * mean};
  }
};

std::vector<Sample> three_images(const Folder& folder) {
  std::vector<Sample> samples;
  for (int i = 0; i < 3; ++i) samples.push_back({folder.image(message("i", i, ".png"), 40, 32, i), {"x"}});
  return samples;
}

TransformOptions at_16(bool flip = false) {
  TransformOptions options;
  options.resolution = 16;
  options.random_flip = flip;
  return options;
}

LatentCache cached(const std::vector<Sample>& samples, const TransformOptions& transforms,
                   const LatentCacheOptions& options, CountingImageEncoder& encoder) {
  return cache_latents(samples, transforms, options, [&](const torch::Tensor& pixels) { return encoder(pixels); });
}

TEST(LatentCache, HoldsWhatTheEncoderSaysOfEveryTransformedImage) {
  Folder folder;
  const auto samples = three_images(folder);
  CountingImageEncoder encoder;
  std::vector<std::pair<int64_t, int64_t>> progress;
  const auto cache = cache_latents(
      samples, at_16(), {"", "v", 2}, [&](const torch::Tensor& p) { return encoder(p); },
      [&](int64_t done, int64_t total) { progress.emplace_back(done, total); });
  EXPECT_EQ(cache.samples, 3);
  EXPECT_EQ(cache.mean.sizes(), (std::vector<int64_t>{3, 3, 2, 2}));
  EXPECT_EQ(progress, (std::vector<std::pair<int64_t, int64_t>>{{2, 3}, {3, 3}}));
  CountingImageEncoder alone;
  for (int64_t i = 0; i < 3; ++i) {
    const auto pixels = training_pixels(read_image(samples[i].path), at_16(), 0, 0, i);
    const auto expected = alone(pixels.unsqueeze(0));
    EXPECT_TRUE(torch::equal(cache.mean[cache.row(i, false)], expected.mean[0]));
    EXPECT_TRUE(torch::equal(cache.std[cache.row(i, false)], expected.std[0]));
  }
  EXPECT_THROW(cache.row(0, true), InternalError);
  EXPECT_THROW(cache.row(3, false), InternalError);
}

TEST(LatentCache, RandomFlipsAddTheMirrorImages) {
  Folder folder;
  const auto samples = three_images(folder);
  CountingImageEncoder encoder;
  const auto cache = cached(samples, at_16(true), {"", "v", 2}, encoder);
  EXPECT_EQ(encoder.images, 6);
  ASSERT_EQ(cache.mean.size(0), 6);
  for (int64_t i = 0; i < 3; ++i) {
    const auto mirror = mirrored(training_pixels(read_image(samples[i].path), at_16(), 0, 0, i));
    EXPECT_TRUE(torch::equal(cache.mean[cache.row(i, true)], CountingImageEncoder()(mirror.unsqueeze(0)).mean[0]));
  }
}

TEST(LatentCache, SaysTheSizeOfEachFileAndWhereItWasCut) {
  Folder folder;
  const std::vector<Sample> samples = {{folder.image("wide.png", 40, 21), {"w"}}, {folder.image("high.png", 16, 30), {"h"}}};
  CountingImageEncoder encoder;
  for (const bool reused : {false, true}) {
    const auto cache = cached(samples, at_16(true), {folder.path("cache"), "v", 2}, encoder);
    EXPECT_EQ(cache.reused, reused);
    // Height and width of the file, top and left of the crop in the resized image (30 x 16 from 40 x 21), of its mirror image.
    const auto expected = torch::tensor({{21, 40, 0, 7, 16, 16}, {30, 16, 7, 0, 16, 16}, {21, 40, 0, 7, 16, 16}, {30, 16, 7, 0, 16, 16}}, torch::kFloat32);
    EXPECT_TRUE(cache.time_ids.equal(expected)) << cache.time_ids;
  }
}

TEST(LatentCache, IsReadBackWithoutEncodingWhenNothingChanged) {
  Folder folder;
  const auto samples = three_images(folder);
  CountingImageEncoder encoder;
  const LatentCacheOptions options{folder.path("cache"), "v", 2};
  const auto first = cached(samples, at_16(), options, encoder);
  EXPECT_FALSE(first.reused);
  const auto second = cached(samples, at_16(), options, encoder);
  EXPECT_TRUE(second.reused);
  EXPECT_EQ(encoder.images, 3);
  EXPECT_TRUE(torch::equal(first.mean, second.mean));
  EXPECT_TRUE(torch::equal(first.std, second.std));
  EXPECT_EQ(second.samples, 3);
  EXPECT_FALSE(second.mean.is_inference());  // it must be able to take part in training
  EXPECT_FALSE(first.mean.is_inference());
}

TEST(LatentCache, IsMadeAnewWhenAFileASettingOrTheEncoderChanges) {
  Folder folder;
  auto samples = three_images(folder);
  CountingImageEncoder encoder;
  const LatentCacheOptions options{folder.path("cache"), "v", 2};
  cached(samples, at_16(), options, encoder);
  const auto is_reused = [&](const TransformOptions& transforms, const LatentCacheOptions& other) {
    return cached(samples, transforms, other, encoder).reused;
  };
  EXPECT_FALSE(is_reused(at_16(), {folder.path("cache"), "w", 2}));
  EXPECT_TRUE(is_reused(at_16(), {folder.path("cache"), "v", 1}));  // the batch size is no part of it
  EXPECT_FALSE(is_reused(at_16(true), options));
  auto other = at_16();
  other.resolution = 24;
  EXPECT_FALSE(is_reused(other, options));
  other = at_16();
  other.resize_filter = "bilinear";
  EXPECT_FALSE(is_reused(other, options));
  EXPECT_TRUE(is_reused(at_16(), options));
  folder.image("i1.png", 40, 32, 9);
  EXPECT_FALSE(is_reused(at_16(), options));
  std::swap(samples[0], samples[2]);
  EXPECT_FALSE(is_reused(at_16(), options));
}

TEST(LatentCache, ADamagedCacheFileIsNoticedAndMadeAnew) {
  Folder folder;
  const auto samples = three_images(folder);
  CountingImageEncoder encoder;
  const LatentCacheOptions options{folder.path("cache"), "v", 2};
  const auto first = cached(samples, at_16(), options, encoder);
  const auto file = std::filesystem::directory_iterator(folder.path("cache"))->path().string();
  std::string bytes = read_file(file);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write_file(file, bytes);
  const auto repaired = cached(samples, at_16(), options, encoder);
  EXPECT_FALSE(repaired.reused);
  EXPECT_TRUE(torch::equal(first.std, repaired.std));
  write_file(file, "short");
  EXPECT_FALSE(cached(samples, at_16(), options, encoder).reused);
  EXPECT_TRUE(cached(samples, at_16(), options, encoder).reused);
}

TEST(LatentCache, AnImageWithoutAFiniteLatentIsNamed) {
  Folder folder;
  const auto samples = three_images(folder);
  for (const bool in_mean : {true, false}) {
    const auto encode = [&](const torch::Tensor& pixels) {
      auto latents = CountingImageEncoder()(pixels);
      auto& part = in_mean ? latents.mean : latents.std;
      if (part.size(0) == 1) part[0][1][0][1] = std::numeric_limits<float>::quiet_NaN();  // the second batch
      return latents;
    };
    const auto text = thrown<BadFile>([&] { cache_latents(samples, at_16(), {folder.path("cache"), "v", 2}, encode); });
    EXPECT_EQ(text.find(samples[2].path), 0u) << text;
  }
  EXPECT_FALSE(std::filesystem::exists(folder.path("cache")));
}

TEST(LatentCache, RandomCropsCannotBeCached) {
  Folder folder;
  const auto samples = three_images(folder);
  auto transforms = at_16();
  transforms.crop = "random";
  CountingImageEncoder encoder;
  EXPECT_NE(thrown<InvalidArgument>([&] { cached(samples, transforms, {"", "v", 2}, encoder); }).find("crop"),
            std::string::npos);
}

TEST(LatentCache, KeepsTheEncodersPrecision) {
  Folder folder;
  const auto samples = three_images(folder);
  const auto encode = [](const torch::Tensor& pixels) {
    const auto latents = CountingImageEncoder()(pixels);
    return LatentDistribution{latents.mean.to(torch::kBFloat16), latents.std.to(torch::kBFloat16)};
  };
  const LatentCacheOptions options{folder.path("cache"), "v", 2};
  EXPECT_EQ(cache_latents(samples, at_16(), options, encode).mean.scalar_type(), torch::kBFloat16);
  EXPECT_EQ(cache_latents(samples, at_16(), options, encode).mean.scalar_type(), torch::kBFloat16);  // and from disk
}

}  // namespace
}  // namespace sara
