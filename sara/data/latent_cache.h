// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "sara/data/image_folder.h"
#include "sara/data/transforms.h"

namespace sara {

// What an image encoder says about a batch: a diagonal normal distribution, both [B, C, h, w].
struct LatentDistribution {
  torch::Tensor mean, std;
};

// [B, 3, R, R] in [-1, 1] on the CPU → its distribution, on any device and in any floating dtype.
using EncodeImages = std::function<LatentDistribution(const torch::Tensor& pixels)>;

// done of total, after every batch.
using CacheProgress = std::function<void(int64_t done, int64_t total)>;

// The distributions of all samples. With random flips the mirrored image is a second row: encoders are not symmetric.
// Rows 0 ... N-1 are the images as they are, rows N ... 2N-1 their mirror images.
struct LatentCache {
  torch::Tensor mean, std;  // [N or 2N, C, h, w], CPU, dtype of the encoder's answer
  // What SDXL is told of each row, [N or 2N, 6] fp32: height and width of the file's image, top and left of the crop in
  // the resized image, height and width of the crop.
  torch::Tensor time_ids;
  int64_t samples = 0;      // N
  bool reused = false;      // came from disk: nothing was encoded
  std::string key = {};     // hash of all that the rows depend on: file bytes, settings, encoder

  int64_t row(int64_t sample, bool flipped) const;  // InternalError when flipped rows were not made
};

struct LatentCacheOptions {
  std::string folder;        // where the cache lies; empty: only in memory
  std::string encoder_hash;  // identity of the encoder's weights and dtype
  int64_t batch_size = 8;
};

// Encodes every sample once, or reads what an earlier run encoded from the same file bytes with the same settings and
// encoder. Throws InvalidArgument for random crops (another image in every epoch cannot be cached), BadFile naming the
// image whose latent is not finite or that cannot be decoded, IoError.
LatentCache cache_latents(const std::vector<Sample>& samples, const TransformOptions& transforms,
                          const LatentCacheOptions& options, const EncodeImages& encode,
                          const CacheProgress& progress = {});

}  // namespace sara
