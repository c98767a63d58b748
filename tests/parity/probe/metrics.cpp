// SPDX-License-Identifier: Apache-2.0
#include <torch/types.h>
#include <torch/utils.h>

#include "sara/metrics/blip_folder.h"
#include "sara/metrics/clip_folder.h"
#include "sara/metrics/clip_score.h"
#include "sara/metrics/features.h"
#include "sara/metrics/frechet.h"
#include "tests/parity/probe/probe.h"

namespace sara::tests {
namespace {

Image image_of(const torch::Tensor& pixels) {  // [height, width, 3] bytes
  const auto source = pixels.contiguous();
  const auto* const bytes = source.const_data_ptr<uint8_t>();
  return {source.size(1), source.size(0), {bytes, bytes + source.numel()}};
}

std::vector<Image> images_of(const TensorMap& tensors) {  // "image.0", "image.1", ...
  std::vector<Image> images;
  while (tensors.count("image." + std::to_string(images.size()))) images.push_back(image_of(tensors.at("image." + std::to_string(images.size()))));
  return images;
}

torch::Tensor as_scalar(double value) { return torch::tensor(value, torch::kFloat64); }

}  // namespace
}  // namespace sara::tests

// Tensors one, other -> distance.
SARA_PROBE(frechet) { out["distance"] = sara::tests::as_scalar(sara::frechet_distance(in.tensors.at("one"), in.tensors.at("other"))); }

// Tensors images, texts, references -> clip_t, clip_i.
SARA_PROBE(clip_score) {
  out["clip_t"] = sara::tests::as_scalar(sara::clip_t(in.tensors.at("images"), in.tensors.at("texts")));
  out["clip_i"] = sara::tests::as_scalar(sara::clip_i(in.tensors.at("images"), in.tensors.at("references")));
}

// config: "processor" (a preprocessor_config.json). Tensors image.<i> -> pixels.<i>.
SARA_PROBE(clip_pixels) {
  const auto pixels = sara::ClipPixels::from_json(in.config.at("processor"));
  const auto images = sara::tests::images_of(in.tensors);
  for (size_t i = 0; i < images.size(); ++i) out["pixels." + std::to_string(i)] = pixels(images[i]);
}

// config: "processor" (a preprocessor_config.json). Tensors image.<i> -> pixels.<i>.
SARA_PROBE(blip_pixels) {
  const auto pixels = sara::BlipPixels::from_json(in.config.at("processor"));
  const auto images = sara::tests::images_of(in.tensors);
  for (size_t i = 0; i < images.size(); ++i) out["pixels." + std::to_string(i)] = pixels(images[i]);
}

// config: "folder", "texts". Tensors image.<i> -> images [N, d], and texts [M, d] when there are any.
SARA_PROBE(clip_folder) {
  const sara::ClipFolder clip(in.config.at("folder").get<std::string>());
  out["images"] = clip.image_embeddings(sara::tests::images_of(in.tensors));
  const auto texts = in.config.value("texts", std::vector<std::string>());
  if (!texts.empty()) out["texts"] = clip.text_embeddings(texts);
}

// config: "weights". Tensors image.<i> -> features [N, 2048].
SARA_PROBE(inception_features) {
  const auto network = sara::inception_features(in.config.at("weights").get<std::string>());
  const torch::NoGradGuard no_grad;
  out["features"] = network.features(sara::tests::images_of(in.tensors));
}
