// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/model_folder.h"

#include <filesystem>

#include "sara/base/error.h"
#include "sara/base/hash.h"
#include "sara/weights/load_weights.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

struct Part {
  const char *name, *class_name;
};
constexpr Part kParts[] = {
    {"unet", "UNet2DConditionModel"}, {"vae", "AutoencoderKL"}, {"text_encoder", "CLIPTextModel"}, {"tokenizer", "CLIPTokenizer"}, {"scheduler", ""}};

}  // namespace

ModelFolder::ModelFolder(std::string path) : path_(std::move(path)) {
  if (!fs::exists(path_)) throw BadFile(path_, "no such model. Fix: give a folder in diffusers' layout (with model_index.json)");
  if (!fs::is_directory(path_)) throw BadFile(path_, "is not a folder (expected a folder in diffusers' layout, with model_index.json)");
  const auto index_path = (fs::path(path_) / "model_index.json").string();
  if (!fs::exists(index_path)) throw BadFile(path_, "no model_index.json here (expected a folder in diffusers' layout)");
  index_ = read_json(index_path);
  if (!index_.is_object()) throw BadFile(index_path, "is not a JSON object");
  const auto pipeline = index_.value("_class_name", Json());
  if (pipeline != "StableDiffusionPipeline") {
    throw BadFile(index_path, message("unsupported pipeline (expected StableDiffusionPipeline, got ", pipeline.dump(), ")"));
  }
  for (const auto& [name, class_name] : kParts) {
    const auto entry = index_.value(name, Json());
    if (!entry.is_array() || entry.size() != 2 || !entry[1].is_string()) throw BadFile(index_path, message("component ", name, " is absent"));
    const auto got = entry[1].get<std::string>();
    if (*class_name && got != class_name && got != std::string(class_name) + "Fast") {
      throw BadFile(index_path, message("component ", name, " has another class (expected ", class_name, ", got ", escaped(got), ")"));
    }
    if (!fs::is_directory(component_path(name))) throw BadFile(component_path(name), "no such component folder");
  }
}

std::string ModelFolder::family() const { return component_config("unet").value("use_linear_projection", false) ? "sd2" : "sd1"; }

int64_t ModelFolder::resolution() const {
  const auto size = UNetConfig::from_json(component_config("unet")).sample_size;
  if (!size) throw InvalidArgument(message(component_path("unet"), ": the config has no sample_size. Fix: add --resolution"));
  return *size * VaeConfig::from_json(component_config("vae")).factor();
}

std::string ModelFolder::component_path(const std::string& name) const { return (fs::path(path_) / name).string(); }

Json ModelFolder::component_config(const std::string& name) const {
  return read_json((fs::path(path_) / name / "config.json").string());
}

std::string ModelFolder::component_hash(const std::string& name) const {
  Hasher hasher;
  const WeightFiles files(component_path(name));
  std::vector<char> bytes;
  for (const auto& [reader, info] : files.entries()) {
    bytes.resize(info->bytes());
    reader->read(*info, bytes.data());
    hasher.update(info->name);
    hasher.update(bytes.data(), bytes.size());
  }
  return hasher.hex();
}

template <class Model, class Config>
std::shared_ptr<Model> ModelFolder::load(const std::string& name, c10::ScalarType dtype, c10::Device device) const {
  auto model = std::make_shared<Model>(Config::from_json(component_config(name)), torch::TensorOptions().dtype(dtype).device(device));
  load_weights_(*model, WeightFiles(component_path(name)), allow_nonfinite_);
  model->eval();
  return model;
}

std::shared_ptr<UNet2DConditionModel> ModelFolder::load_unet(c10::ScalarType dtype, c10::Device device) const {
  return load<UNet2DConditionModel, UNetConfig>("unet", dtype, device);
}

std::shared_ptr<AutoencoderKL> ModelFolder::load_vae(c10::ScalarType dtype, c10::Device device) const {
  return load<AutoencoderKL, VaeConfig>("vae", dtype, device);
}

std::shared_ptr<ClipTextModel> ModelFolder::load_text_encoder(c10::ScalarType dtype, c10::Device device) const {
  return load<ClipTextModel, ClipTextConfig>("text_encoder", dtype, device);
}

Json ModelFolder::scheduler_config() const { return read_json((fs::path(path_) / "scheduler" / "scheduler_config.json").string()); }

}  // namespace sara
