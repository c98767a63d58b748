// SPDX-License-Identifier: Apache-2.0
#include "sara/metrics/blip_folder.h"

#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>

#include "sara/base/error.h"
#include "sara/metrics/folder_config.h"
#include "sara/models/config_reader.h"
#include "sara/weights/load_weights.h"

namespace sara {
namespace {

constexpr const char* kBlipProcessor = "BlipImageProcessor";

std::string read_by_blip(const std::string& question) {
  std::string out;
  for (const char c : question)
    if (!std::strchr(".!\"()*#:;~", c)) out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;  // the tokenizer lowers what is not ASCII
  return out.substr(0, out.find_last_not_of(' ') + 1);
}

}  // namespace

BlipPixels BlipPixels::from_json(const Json& json) {
  const ConfigReader read(json, kBlipProcessor);
  read.only("do_resize", {true});
  read.only("do_center_crop", {false});
  BlipPixels pixels;
  if (read.given("size")) {
    const ConfigReader size(json["size"], message(kBlipProcessor, " size"));
    pixels.side = size.integer("height", pixels.side);
    if (size.integer("width", pixels.side) != pixels.side) throw InvalidArgument(message(kBlipProcessor, " config: \"size\" is not supported (expected a square)"));
  }
  pixels.filter = filter_from_json(json, kBlipProcessor);
  pixels.scaling = PixelScaling::from_json(json, kBlipProcessor);
  return pixels;
}

torch::Tensor BlipPixels::operator()(const Image& image) const { return scaling(resize(image, side, side, filter)); }

std::string BlipPixels::description() const { return message("stretched to ", side, "x", side, " (Pillow ", filter_name(filter), ")"); }

BlipFolder::BlipFolder(const std::string& path, c10::Device device) : path_(path), device_(device) {
  const auto file = [&](const char* name) { return (std::filesystem::path(path) / name).string(); };
  for (const char* name : {"config.json", "vocab.txt"})
    if (!std::filesystem::is_regular_file(file(name)))
      throw BadFile(path, message("is not a BLIP model: no ", name, " (expected config.json, model.safetensors, preprocessor_config.json and vocab.txt). "
                                  "Fix: give a folder that transformers saved, such as Salesforce/blip-vqa-base"));
  const auto config = from_config(file("config.json"), [](const Json& json) {
    if (const auto name = class_in_config(json); name != "BlipForQuestionAnswering")
      throw InvalidArgument(message("the class is not supported (expected BlipForQuestionAnswering, got ", escaped(name), ")"));
    return BlipConfig::from_json(json);
  });
  tokenizer_ = std::make_unique<BertTokenizer>(path, std::min(kQuestionTokens, config.text.max_position_embeddings));
  yes_id_ = tokenizer_->word_id("yes");
  no_id_ = tokenizer_->word_id("no");
  if (tokenizer_->vocabulary_size() > config.text.vocab_size)
    throw BadFile(path, message("the tokenizer does not fit the model (", tokenizer_->vocabulary_size(), " ids; expected at most ", config.text.vocab_size, ")"));
  pixels_.side = config.vision.image_size;
  if (std::filesystem::exists(file("preprocessor_config.json")))
    pixels_ = from_config(file("preprocessor_config.json"), [](const Json& json) { return BlipPixels::from_json(json); });
  if (pixels_.side != config.vision.image_size)
    throw BadFile(file("preprocessor_config.json"), message("size does not fit the model (expected ", config.vision.image_size, ", got ", pixels_.side, ")"));
  model_ = std::make_shared<BlipForQuestionAnswering>(config, torch::TensorOptions().dtype(torch::kFloat32).device(device));
  load_weights_(*model_, WeightFiles(path));
}

std::vector<std::vector<double>> BlipFolder::yes(const std::vector<Image>& images, const std::vector<std::vector<std::string>>& questions) const {
  SARA_CHECK(images.size() == questions.size(), images.size(), " pictures, questions for ", questions.size());
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> batch;
  for (const auto& image : images) batch.push_back(pixels_(image));
  const auto seen = model_->seen(at::stack(batch).to(device_));

  struct Asked {
    int64_t picture;
    size_t question;
    std::vector<int64_t> ids;
  };
  std::map<size_t, std::vector<Asked>> by_length;  // questions of one length need no padding
  std::vector<std::vector<double>> out;
  for (size_t i = 0; i < questions.size(); ++i) {
    out.emplace_back(questions[i].size());
    for (size_t k = 0; k < questions[i].size(); ++k) {
      auto encoding = tokenizer_->encode(read_by_blip(questions[i][k]));
      encoding.ids.resize(static_cast<size_t>(std::min(encoding.length, tokenizer_->max_length())));
      encoding.ids[0] = model_->config().text.question_token_id();
      by_length[encoding.ids.size()].push_back({static_cast<int64_t>(i), k, std::move(encoding.ids)});
    }
  }
  for (const auto& [length, asked] : by_length) {
    std::vector<torch::Tensor> ids;
    std::vector<int64_t> pictures;
    for (const auto& one : asked) {
      ids.push_back(torch::tensor(one.ids, torch::kInt64));
      pictures.push_back(one.picture);
    }
    const auto begin = torch::full({static_cast<int64_t>(asked.size()), 1}, model_->config().text.bos_token_id, torch::kInt64).to(device_);
    const auto logits = model_->answer_logits(seen.index_select(0, torch::tensor(pictures, torch::kInt64).to(device_)), at::stack(ids).to(device_), begin);
    // The softmax over all words cancels in the ratio.
    const auto yes_over_both = (logits.select(1, 0).select(1, yes_id_) - logits.select(1, 0).select(1, no_id_)).to(torch::kFloat64).sigmoid().cpu();
    for (size_t j = 0; j < asked.size(); ++j) out[static_cast<size_t>(asked[j].picture)][asked[j].question] = yes_over_both[static_cast<int64_t>(j)].item<double>();
  }
  return out;
}

}  // namespace sara
