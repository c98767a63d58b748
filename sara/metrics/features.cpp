// SPDX-License-Identifier: Apache-2.0
#include "sara/metrics/features.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <filesystem>

#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/files/foreign_file.h"
#include "sara/models/inception.h"
#include "sara/weights/load_weights.h"

namespace sara {
namespace {

constexpr const char* kConversion = "Fix: convert pt_inception-2015-12-05-6726825d.pth as docs/evaluation.md shows";

// The file's tensors without the classifier, which features do not need, and torch's counters.
WeightFiles inception_weights(const std::string& path) {
  if (!std::filesystem::exists(path)) throw BadFile(path, message("no such file (expected the weights of FID's Inception v3). ", kConversion));
  refuse_pickle(path);
  auto file = std::make_shared<const SafetensorsReader>(path);
  const auto* classifier = file->find("fc.bias");
  if (classifier && classifier->shape != std::vector<int64_t>{1008})
    throw BadFile(path, message("is another Inception (expected a classifier of 1008 classes, got ", at::IntArrayRef(classifier->shape),
                                "); distances over it are not FID. ", kConversion));
  std::vector<WeightFiles::Piece> pieces;
  for (const auto& info : file->tensors()) {
    if (info.name.rfind("fc.", 0) == 0 || info.name.ends_with(".num_batches_tracked")) continue;
    pieces.push_back({&info, info.name});
  }
  return WeightFiles(file, path, pieces);
}

torch::Tensor stretched(const Image& image) {
  const auto bytes = torch::from_blob(const_cast<uint8_t*>(image.pixels.data()), {1, image.height, image.width, 3}, torch::kUInt8);
  const auto values = bytes.permute({0, 3, 1, 2}).to(torch::kFloat32).div(255).contiguous();
  return at::upsample_bilinear2d(values, {InceptionV3::kSide, InceptionV3::kSide}, /*align_corners=*/false);
}

}  // namespace

FeatureNetwork inception_features(const std::string& weights_file, c10::Device device) {
  const auto weights = inception_weights(weights_file);
  auto network = std::make_shared<InceptionV3>(torch::TensorOptions().dtype(torch::kFloat32).device(device));
  load_weights_(*network, weights);
  return {"Inception v3 (2015-12-05), pool3", "stretched to 299x299, bilinear without antialiasing",
          [network, device](const std::vector<Image>& images) {
            std::vector<torch::Tensor> batch;
            for (const auto& image : images) batch.push_back(stretched(image));
            return network->forward(at::cat(batch).mul(2).sub(1).to(device)).cpu();
          }};
}

FeatureNetwork clip_features(std::shared_ptr<const ClipFolder> clip) {
  const auto name = "CLIP image embeddings of " + std::filesystem::path(clip->path()).filename().string();
  return {name, clip->pixels().description(), [clip](const std::vector<Image>& images) { return clip->image_embeddings(images); }};
}

torch::Tensor features_of(const ImageSet& set, const FeatureNetwork& network, int64_t batch_size) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> parts;
  for (int64_t first = 0; first < set.count(); first += batch_size) {
    const int64_t end = std::min(first + batch_size, set.count());
    std::vector<Image> images;
    for (int64_t i = first; i < end; ++i) images.push_back(read_image(set.paths[static_cast<size_t>(i)]));
    parts.push_back(network.features(images).to(torch::kFloat64));
    log_progress(message(escaped(set.folder), ": picture ", end, " of ", set.count()), end == set.count());
  }
  return at::cat(parts);
}

}  // namespace sara
