// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>
#include <torch/types.h>

#include <memory>
#include <string>
#include <vector>

#include "sara/files/image.h"
#include "sara/metrics/pixel_scaling.h"
#include "sara/models/blip.h"
#include "sara/tokenizers/bert.h"

namespace sara {

// What a BLIP model's preprocessor_config.json asks for: a picture is stretched to side × side with Pillow's arithmetic, then scaled.
struct BlipPixels {
  int64_t side = 384;
  Filter filter = Filter::bicubic;
  PixelScaling scaling;

  // Throws InvalidArgument naming the key for a value that is malformed or not supported.
  static BlipPixels from_json(const Json& json);
  torch::Tensor operator()(const Image& image) const;  // -> [3, side, side] fp32
  std::string description() const;                     // "stretched to 384x384 (Pillow bicubic)"
};

// A published BLIP that answers questions: a folder with config.json (class BlipForQuestionAnswering), weights,
// preprocessor_config.json and vocab.txt, as transformers writes one.
class BlipFolder {
 public:
  static constexpr int64_t kQuestionTokens = 35;  // of a question; the rest is cut off

  // Weights are held in fp32. Throws BadFile.
  explicit BlipFolder(const std::string& path, c10::Device device = c10::kCPU);

  // For every question about every picture: p(yes) / (p(yes) + p(no)), the probabilities of the first word of the answer. A question is
  // read as BLIP's own evaluation reads it: lower case, without . ! " ( ) * # : ; ~ and spaces at its end, its first token [ENC].
  std::vector<std::vector<double>> yes(const std::vector<Image>& images, const std::vector<std::vector<std::string>>& questions) const;

  const std::string& path() const { return path_; }
  const BlipPixels& pixels() const { return pixels_; }

 private:
  std::string path_;
  c10::Device device_;
  BlipPixels pixels_;
  std::unique_ptr<BertTokenizer> tokenizer_;
  std::shared_ptr<BlipForQuestionAnswering> model_;
  int64_t yes_id_, no_id_;
};

}  // namespace sara
