// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>
#include <torch/types.h>

#include <memory>
#include <string>
#include <vector>

#include "sara/files/image.h"
#include "sara/metrics/clip_pixels.h"
#include "sara/models/clip.h"
#include "sara/tokenizers/clip.h"

namespace sara {

// A published CLIP model: a folder with config.json, weights, preprocessor_config.json and the tokenizer's files, as
// transformers writes a CLIPModel; or a CLIPVisionModelWithProjection, which knows no texts.
class ClipFolder {
 public:
  // Weights are held in fp32. Throws BadFile.
  explicit ClipFolder(const std::string& path, c10::Device device = c10::kCPU);

  // -> [B, projection_dim] on the CPU, not of unit length.
  torch::Tensor image_embeddings(const std::vector<Image>& images) const;
  // Texts longer than the model reads lose their end, with a warning. Throws InvalidArgument in a folder without a text encoder.
  torch::Tensor text_embeddings(const std::vector<std::string>& texts) const;

  const std::string& path() const { return path_; }
  const ClipPixels& pixels() const { return pixels_; }

 private:
  std::string path_;
  c10::Device device_;
  ClipPixels pixels_;
  std::shared_ptr<ClipModel> both_;         // a CLIPModel
  std::shared_ptr<ClipVisionModel> vision_;  // the other
  std::unique_ptr<ClipTokenizer> tokenizer_;
};

}  // namespace sara
