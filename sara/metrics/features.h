// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>
#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "sara/files/image.h"
#include "sara/metrics/clip_folder.h"
#include "sara/metrics/image_set.h"

namespace sara {

// Pictures to numbers whose distribution is compared.
struct FeatureNetwork {
  std::string name;    // "Inception v3 (2015-12-05), pool3"
  std::string resize;  // what happens to a picture in front of it
  std::function<torch::Tensor(const std::vector<Image>&)> features;  // [B, d]
};

// The network of the published FID. A picture is stretched to 299 x 299 by bilinear interpolation of its pixels without
// antialiasing, as the PyTorch implementation in common use does, and scaled to [-1, 1].
// `weights_file`: safetensors under that implementation's names (docs/evaluation.md has the command that makes it); no file is
// shipped. Throws BadFile, also for the ImageNet weights of torchvision, whose distances are not FID.
FeatureNetwork inception_features(const std::string& weights_file, c10::Device device = c10::kCPU);

// The projected image embeddings of a CLIP model, not of unit length.
FeatureNetwork clip_features(std::shared_ptr<const ClipFolder> clip);

// [N, d] fp64 on the CPU, in the order of the set's paths, `batch_size` pictures at a time.
torch::Tensor features_of(const ImageSet& set, const FeatureNetwork& network, int64_t batch_size);

}  // namespace sara
