// SPDX-License-Identifier: Apache-2.0
#include "sara/metrics/clip_folder.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <filesystem>

#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/metrics/folder_config.h"
#include "sara/weights/load_weights.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

}  // namespace

ClipFolder::ClipFolder(const std::string& path, c10::Device device) : path_(path), device_(device) {
  const auto file = [&](const char* name) { return (fs::path(path) / name).string(); };
  if (!fs::is_regular_file(file("config.json")))
    throw BadFile(path, "is not a CLIP model (expected a folder with config.json, model.safetensors, preprocessor_config.json and tokenizer). "
                        "Fix: give a folder that transformers saved, such as openai/clip-vit-large-patch14");
  const auto options = torch::TensorOptions().dtype(torch::kFloat32).device(device);
  const auto side = from_config(file("config.json"), [&](const Json& json) {
    const auto name = class_in_config(json);
    if (name == "CLIPModel") {
      both_ = std::make_shared<ClipModel>(ClipConfig::from_json(json), options);
      return both_->vision().config().image_size;
    }
    if (name != "CLIPVisionModelWithProjection")
      throw InvalidArgument(message("the class is not supported (expected CLIPModel or CLIPVisionModelWithProjection, got ", escaped(name), ")"));
    vision_ = std::make_shared<ClipVisionModel>(ClipVisionConfig::from_json(json), options);
    return vision_->config().image_size;
  });
  load_weights_(both_ ? static_cast<torch::nn::Module&>(*both_) : *vision_, WeightFiles(path));
  pixels_.shortest_edge = pixels_.crop = side;
  if (fs::exists(file("preprocessor_config.json")))
    pixels_ = from_config(file("preprocessor_config.json"), [](const Json& json) { return ClipPixels::from_json(json); });
  if (pixels_.crop != side)
    throw BadFile(file("preprocessor_config.json"), message("crop_size does not fit the model (expected ", side, ", got ", pixels_.crop, ")"));
  if (!both_) return;
  tokenizer_ = std::make_unique<ClipTokenizer>(path);
  const auto& text = both_->text().config();
  if (tokenizer_->vocabulary_size() > text.vocab_size || tokenizer_->max_length() > text.max_position_embeddings)
    throw BadFile(path, message("the tokenizer does not fit the text encoder (", tokenizer_->vocabulary_size(), " ids, ", tokenizer_->max_length(),
                                " long; expected at most ", text.vocab_size, " and ", text.max_position_embeddings, ")"));
}

torch::Tensor ClipFolder::image_embeddings(const std::vector<Image>& images) const {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> batch;
  for (const auto& image : images) batch.push_back(pixels_(image));
  const auto pixels = at::stack(batch).to(device_);
  return (both_ ? both_->image_embeddings(pixels) : vision_->forward(pixels)).cpu();
}

torch::Tensor ClipFolder::text_embeddings(const std::vector<std::string>& texts) const {
  if (!both_) throw InvalidArgument(message(escaped(path_), ": has no text encoder, so pictures cannot be compared with captions. Fix: give a CLIPModel folder"));
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> rows;
  int64_t cut = 0;
  for (const auto& text : texts) {
    const auto encoding = tokenizer_->encode(text);
    cut += encoding.truncated;
    rows.push_back(torch::tensor(encoding.ids, torch::kInt64));
  }
  if (cut > 0) log_warning(message(cut, " captions are longer than ", tokenizer_->max_length(), " tokens; their end is cut off"));
  return both_->text_embeddings(at::stack(rows).to(device_)).cpu();
}

}  // namespace sara
