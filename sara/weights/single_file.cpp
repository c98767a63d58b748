// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/single_file.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

#include "sara/base/error.h"
#include "sara/files/atomic_file.h"
#include "sara/files/foreign_file.h"
#include "sara/weights/single_file_config.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

std::shared_ptr<const SafetensorsReader> opened(const std::string& path) { return std::make_shared<const SafetensorsReader>(path); }

bool is_tokenizer_folder(const fs::path& folder) {
  for (const char* name : {"vocab.json", "tokenizer.json", "spiece.model"}) {
    if (fs::exists(folder / name)) return true;
  }
  return false;
}

}  // namespace

SingleFile::SingleFile(const std::string& path, ModelReading reading) : file_(opened(path)), layout_(detected_layout(*file_)), reading_(std::move(reading)) {
  const auto& metadata = file_->metadata();
  if (const auto kept = metadata.find(kKeptFiles); kept != metadata.end()) kept_ = unpacked_files(kept->second, path);
}

SingleFile::~SingleFile() {
  std::error_code ignored;  // nothing can be done about it here
  if (!unpacked_.empty()) fs::remove_all(unpacked_, ignored);
}

bool SingleFile::has(const std::string& component) const {
  const auto* part = layout_.part(component);
  return part && prefix_in(*file_, *part);
}

std::optional<std::string> SingleFile::prediction_type() const {
  if (reading_.prediction_type) return reading_.prediction_type;
  if (const auto kept = kept_.find("scheduler/scheduler_config.json"); kept != kept_.end()) {
    const Json config = parse_json(kept->second, path() + ": scheduler_config.json");
    if (config.is_object() && config.contains("prediction_type") && config["prediction_type"].is_string()) return config["prediction_type"].get<std::string>();
    return "epsilon";
  }
  const auto& metadata = file_->metadata();
  if (const auto said = metadata.find("modelspec.prediction_type"); said != metadata.end()) {
    if (said->second == "epsilon" || said->second == "v_prediction") return said->second;
    if (said->second == "v") return "v_prediction";
  }
  if (std::string(layout_.family) != "sd2") return "epsilon";
  if (const auto* steps = file_->find("global_step"); steps && steps->dtype == DType::I64 && steps->numel() == 1) {
    int64_t value = 0;
    file_->read(*steps, &value);
    if (value == 875000) return "epsilon";  // the published 512-pixel base
  }
  return std::nullopt;
}

Json SingleFile::config(const std::string& component) const {
  const auto* part = layout_.part(component);
  if (!part || !prefix_in(*file_, *part))
    throw BadFile(path(), message("holds no ", component, " (expected tensors under ", part ? part->prefix : component, "). Fix: use a whole model"));
  const std::string name = layout_.pipeline ? component + "/config.json" : "config.json";
  if (const auto kept = kept_.find(name); kept != kept_.end()) {
    Json config = parse_json(kept->second, path() + ": " + name);
    if (!config.is_object()) throw BadFile(path(), message(name, " in its metadata is not a JSON object"));
    return config;
  }
  return derived_config(*file_, layout_, *part, prediction_type().value_or("epsilon"));
}

Json SingleFile::index() const {
  if (const auto kept = kept_.find("model_index.json"); kept != kept_.end()) return parse_json(kept->second, path() + ": model_index.json");
  Json index{{"_class_name", layout_.pipeline ? Json(layout_.pipeline) : Json()}};
  for (const auto& part : layout_.parts) index[part.component] = prefix_in(*file_, part) ? Json{part.library, part.class_name} : Json{nullptr, nullptr};
  const std::string family = layout_.family;
  if (!layout_.pipeline) return index;
  index["scheduler"] = {"diffusers", published_scheduler(family, "epsilon")["_class_name"]};
  index["tokenizer"] = {"transformers", "CLIPTokenizer"};
  if (family == "sdxl" || family == "sd3") index["tokenizer_2"] = {"transformers", "CLIPTokenizer"};
  if (family == "sdxl") index["force_zeros_for_empty_prompt"] = true;
  if (family == "sd3") index["tokenizer_3"] = has("text_encoder_3") ? Json{"transformers", "T5TokenizerFast"} : Json{nullptr, nullptr};
  if (family == "sd1" || family == "sd2") {
    index["safety_checker"] = {nullptr, nullptr};
    index["requires_safety_checker"] = false;
  }
  if (family != "sd3") {
    index["feature_extractor"] = {nullptr, nullptr};
    index["image_encoder"] = {nullptr, nullptr};
  }
  return index;
}

std::vector<WeightFiles::Piece> SingleFile::pieces(const std::string& component) const {
  const Json json = config(component);
  const auto& part = *layout_.part(component);
  const std::string prefix = prefix_in(*file_, part);
  const KeyMap map = key_map(part.keys, json);
  const bool unused_layer = std::string(layout_.family) == "sd2" && component == "text_encoder";
  std::vector<WeightFiles::Piece> out;
  for (const auto& info : file_->tensors()) {
    if (info.name.rfind(prefix, 0) != 0) continue;
    const std::string name = info.name.substr(prefix.size());
    const auto held = map.in_model(name);
    if (held.empty() && (is_ignored(name) || is_ignored(info.name))) continue;
    if (held.empty() && unused_layer && name.rfind("transformer.resblocks.", 0) == 0) continue;  // behind the last layer that is used
    if (unused_layer && name == "text_projection") continue;
    if (held.empty()) out.push_back({&info, info.name});
    for (const auto& one : held) {
      if (!one.again) out.push_back({&info, one.model_name, one.change, one.part, one.parts});
    }
  }
  // In an SD3 file the projection of CLIP-L is left out when it is the unit matrix.
  const auto* tokens = file_->find(prefix + "text_model.embeddings.token_embedding.weight");
  if (std::string(layout_.family) == "sd3" && component == "text_encoder" && tokens && !file_->find(prefix + "text_projection.weight"))
    out.push_back({tokens, "text_projection.weight", Change::identity});
  return out;
}

WeightFiles SingleFile::weights(const std::string& component) const { return {file_, path() + ": " + component, pieces(component)}; }

Json SingleFile::scheduler_config() const {
  const auto type = prediction_type();
  if (!type)
    throw BadFile(path(), "is a Stable Diffusion 2.x file, and its tensors do not tell what it predicts. Fix: add --prediction-type epsilon (512-base) or v_prediction (768)");
  Json config = published_scheduler(layout_.family, *type);
  if (const auto kept = kept_.find("scheduler/scheduler_config.json"); kept != kept_.end()) {
    config = parse_json(kept->second, path() + ": scheduler_config.json");
    if (reading_.prediction_type && config.is_object()) config["prediction_type"] = *type;
  }
  return config;
}

std::optional<std::string> SingleFile::given_tokenizer(const std::string& component) const {
  if (!reading_.tokenizer) return std::nullopt;
  const fs::path folder = *reading_.tokenizer;
  if (is_tokenizer_folder(folder / component)) return (folder / component).string();
  if (component == "tokenizer" && is_tokenizer_folder(folder)) return folder.string();
  const char* files = component == "tokenizer_3" ? "spiece.model or tokenizer.json" : "vocab.json and merges.txt";
  if (component == "tokenizer")
    throw BadFile(folder.string(), message("holds no tokenizer (expected ", files, ", or a folder tokenizer with them). Fix: give --tokenizer a model folder or a tokenizer folder"));
  throw BadFile(folder.string(), message("holds no ", component, " (expected a folder ", component, " with ", files, "). Fix: give --tokenizer a model folder that has it"));
}

bool SingleFile::has_tokenizer(const std::string& component) const {
  if (reading_.tokenizer) return true;
  return std::ranges::any_of(kept_, [&](const auto& file) { return file.first.rfind(component + "/", 0) == 0; });
}

std::string SingleFile::tokenizer_path(const std::string& component) const {
  if (const auto given = given_tokenizer(component)) return *given;
  if (!has_tokenizer(component))
    throw BadFile(path(), message("holds no ", component, ", as single files of others do not. Fix: add --tokenizer FOLDER (", how_to_give_tokenizers(layout_.family), ")"));
  const std::lock_guard lock(unpacking_);
  if (unpacked_.empty()) {
    std::string name = (fs::temp_directory_path() / "sara-tokenizer-XXXXXX").string();
    if (!mkdtemp(name.data())) throw IoError(name, "cannot make a temporary folder", errno);
    unpacked_ = name;
    for (const auto& [file, content] : kept_) {
      if (file.rfind("tokenizer", 0) != 0) continue;
      fs::create_directories((fs::path(unpacked_) / file).parent_path());
      write_file((fs::path(unpacked_) / file).string(), content);
    }
  }
  return (fs::path(unpacked_) / component).string();
}

std::vector<std::string> SingleFile::unknown() const {
  std::vector<std::string> prefixes, out;
  for (const auto& part : layout_.parts) {
    if (const char* prefix = prefix_in(*file_, part)) prefixes.emplace_back(prefix);
  }
  for (const auto& info : file_->tensors()) {
    const bool known = std::ranges::any_of(prefixes, [&](const std::string& prefix) { return info.name.rfind(prefix, 0) == 0; });
    if (!known && !is_ignored(info.name)) out.push_back(info.name);
  }
  return out;
}

std::string how_to_give_tokenizers(const std::string& family) {
  if (family == "sdxl") return "a model folder with tokenizer and tokenizer_2";
  if (family == "sd3") return "a model folder with tokenizer, tokenizer_2 and, for T5, tokenizer_3";
  return "vocab.json and merges.txt of the model's CLIP";
}

bool is_model_path(const std::string& path) {
  std::error_code failure;
  if (fs::is_directory(path, failure)) return true;
  if (!fs::is_regular_file(path, failure)) return false;
  refuse_pickle(path);
  return is_single_file(SafetensorsReader(path));
}

}  // namespace sara
