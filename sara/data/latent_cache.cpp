// SPDX-License-Identifier: Apache-2.0
#include "sara/data/latent_cache.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>

#include "sara/base/error.h"
#include "sara/base/hash.h"
#include "sara/data/cache_file.h"
#include "sara/files/input_file.h"

namespace sara {
namespace {

// Format number of the cache: a change in what is computed below needs a new one.
constexpr const char* kFormat = "latents 2";

std::string key_of(const std::vector<Sample>& samples, const TransformOptions& transforms,
                   const std::string& encoder_hash) {
  Hasher hasher;
  hasher.update(message(kFormat, "|", transforms.resolution, "|", transforms.crop, "|", transforms.random_flip, "|",
                        transforms.resize_filter, "|", encoder_hash, "|", samples.size()));
  for (const auto& sample : samples) {
    const std::string bytes = read_file(sample.path);
    hasher.update(message("|", bytes.size(), "|"));
    hasher.update(bytes);
  }
  return hasher.hex();
}

void check_finite(const LatentDistribution& latents, const std::vector<Sample>& samples, int64_t first) {
  for (const auto* part : {&latents.mean, &latents.std}) {
    const auto finite = torch::isfinite(*part).flatten(1).all(1);
    if (finite.all().item<bool>()) continue;
    const int64_t worst = finite.logical_not().to(torch::kInt64).argmax().item<int64_t>();
    const auto& path = samples[static_cast<size_t>(first + worst)].path;
    throw BadFile(
        path, "the image encoder gives values that are not finite for it. Fix: remove the image, or encode in float32");
  }
}

}  // namespace

int64_t LatentCache::row(int64_t sample, bool flipped) const {
  SARA_CHECK(sample >= 0 && sample < samples, "sample ", sample, " of ", samples);
  const int64_t row = sample + (flipped ? samples : 0);
  SARA_CHECK(row < mean.size(0), "row ", row, " of ", mean.size(0));
  return row;
}

LatentCache cache_latents(const std::vector<Sample>& samples, const TransformOptions& transforms,
                          const LatentCacheOptions& options, const EncodeImages& encode,
                          const CacheProgress& progress) {
  check_transforms(transforms);
  if (transforms.crop == "random")
    throw InvalidArgument(
        "crop: random crops differ in every epoch, and cached latents cannot (expected \"center\", got "
        "\"random\"). Fix: crop in the center, or do not cache latents");
  if (options.batch_size < 1)
    throw InvalidArgument(message("batch_size: expected at least 1, got ", options.batch_size));
  const auto count = static_cast<int64_t>(samples.size());
  SARA_CHECK(count > 0, "no samples");
  const int64_t variants = transforms.random_flip ? 2 : 1;
  const std::string key = key_of(samples, transforms, options.encoder_hash);
  if (auto kept = read_cache(options.folder, "latents", key))
    return {kept->at("mean"), kept->at("std"), kept->at("time_ids"), count, true, key};

  torch::NoGradGuard guard;
  LatentCache cache{{}, {}, torch::empty({count * variants, 6}), count, false, key};
  for (int64_t first = 0; first < count; first += options.batch_size) {
    const int64_t last = std::min(first + options.batch_size, count);
    std::vector<torch::Tensor> batch;
    for (int64_t i = first; i < last; ++i) {
      const Image original = read_image(samples[static_cast<size_t>(i)].path);
      const Image covering = resized_to_cover(original, transforms);
      const Corner corner = crop_corner(covering.width, covering.height, transforms, 0, 0, i);
      for (int64_t variant = 0; variant < variants; ++variant) {
        const int64_t left = variant == 0 ? corner.left : covering.width - transforms.resolution - corner.left;
        cache.time_ids[variant * count + i].copy_(torch::tensor(
            {original.height, original.width, corner.top, left, transforms.resolution, transforms.resolution}, torch::kFloat32));
      }
      batch.push_back(to_pixels(cropped(covering, corner, transforms.resolution)));
    }
    const auto pixels = torch::stack(batch);
    for (int64_t variant = 0; variant < variants; ++variant) {
      LatentDistribution latents = encode(variant == 0 ? pixels : mirrored(pixels));
      SARA_CHECK(latents.mean.dim() == 4 && latents.mean.size(0) == last - first, "mean ", latents.mean.sizes());
      SARA_CHECK(latents.std.sizes() == latents.mean.sizes(), "std ", latents.std.sizes());
      check_finite(latents, samples, first);
      if (!cache.mean.defined()) {
        auto shape = latents.mean.sizes().vec();
        shape[0] = count * variants;
        cache.mean = torch::empty(shape, latents.mean.options().device(torch::kCPU));
        cache.std = torch::empty(shape, latents.std.options().device(torch::kCPU));
      }
      cache.mean.narrow(0, variant * count + first, last - first).copy_(latents.mean);
      cache.std.narrow(0, variant * count + first, last - first).copy_(latents.std);
    }
    if (progress) progress(last, count);
  }
  write_cache(options.folder, "latents", key, {{"mean", cache.mean}, {"std", cache.std}, {"time_ids", cache.time_ids}});
  return cache;
}

}  // namespace sara
