// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/model_folder.h"

#include <filesystem>
#include <map>

#include "sara/base/error.h"
#include "sara/base/hash.h"
#include "sara/layers/conv.h"
#include "sara/weights/load_weights.h"
#include "sara/weights/parts_fit.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

struct Part {
  const char *name, *class_name;
  bool optional = false;
  const char* or_class = "";
};
struct Pipeline {
  const char* class_name;
  std::vector<Part> parts;
};

const std::vector<Pipeline>& pipelines() {
  static const std::vector<Pipeline> all = {
      {"StableDiffusionPipeline",
       {{"unet", "UNet2DConditionModel"}, {"vae", "AutoencoderKL"}, {"text_encoder", "CLIPTextModel"}, {"tokenizer", "CLIPTokenizer"}, {"scheduler", ""}}},
      {"StableDiffusionXLPipeline",
       {{"unet", "UNet2DConditionModel"},
        {"vae", "AutoencoderKL"},
        {"text_encoder", "CLIPTextModel"},
        {"text_encoder_2", "CLIPTextModelWithProjection"},
        {"tokenizer", "CLIPTokenizer"},
        {"tokenizer_2", "CLIPTokenizer"},
        {"scheduler", ""}}},
      {"StableDiffusion3Pipeline",
       {{"transformer", "SD3Transformer2DModel"},
        {"vae", "AutoencoderKL"},
        {"text_encoder", "CLIPTextModelWithProjection"},
        {"text_encoder_2", "CLIPTextModelWithProjection"},
        {"text_encoder_3", "T5EncoderModel", true},
        {"tokenizer", "CLIPTokenizer"},
        {"tokenizer_2", "CLIPTokenizer"},
        {"tokenizer_3", "T5Tokenizer", true},
        {"scheduler", "FlowMatchEulerDiscreteScheduler"}}},
      {"AnimateDiffPipeline",
       {{"unet", "UNetMotionModel", false, "UNet2DConditionModel"},
        {"vae", "AutoencoderKL"},
        {"text_encoder", "CLIPTextModel"},
        {"tokenizer", "CLIPTokenizer"},
        {"motion_adapter", "MotionAdapter", true},
        {"scheduler", ""}}},
  };
  return all;
}

// Throws BadFile when the index names a pipeline that is not among them.
const Pipeline& pipeline_of(const Json& index, const std::string& index_path) {
  const auto class_name = index.value("_class_name", Json());
  std::string known;
  for (const auto& pipeline : pipelines()) {
    if (class_name == pipeline.class_name) return pipeline;
    known += (known.empty() ? "" : ", ") + std::string(pipeline.class_name);
  }
  throw BadFile(index_path, message("unsupported pipeline (expected one of ", known, ", got ", escaped(class_name.dump()), ")"));
}

// Whether the index gives this component a class; absent optional ones are [null, null].
bool is_named(const Json& index, const std::string& component) {
  const auto entry = index.value(component, Json());
  return entry.is_array() && entry.size() == 2 && entry[1].is_string();
}

Json read_object(const std::string& path) {
  std::error_code failure;
  if (!fs::exists(path, failure)) throw BadFile(path, "is missing. Fix: download the model again");
  auto json = read_json(path);
  if (!json.is_object()) throw BadFile(path, "is not a JSON object");
  return json;
}

}  // namespace

ModelFolder::ModelFolder(std::string path, ModelReading reading) : path_(std::move(path)), reading_(std::move(reading)) {
  std::error_code failure;  // a name that cannot be looked up is no model
  if (!fs::exists(path_, failure)) throw BadFile(path_, "no such model. Fix: give a folder in diffusers' layout (with model_index.json) or a single .safetensors file");
  if (!fs::is_directory(path_, failure)) {
    file_ = std::make_shared<SingleFile>(path_, reading_);
    index_ = file_->index();
    if (std::string(file_->layout().family) == "animatediff")
      throw BadFile(path_, "holds motion modules alone. Fix: give it as --motion-adapter, and a Stable Diffusion 1.x model as --model");
    if (index_.value("_class_name", Json()) != file_->layout().pipeline)
      throw BadFile(path_, message("its metadata does not fit its tensors (expected ", file_->layout().pipeline, ", got ", escaped(index_.value("_class_name", Json()).dump()),
                                   "). Fix: use the file as it was written"));
    if (reading_.motion_adapter) add_motion_modules();
    return;
  }
  if (reading_.tokenizer) throw InvalidArgument("tokenizer: no effect with a model folder, which has its own. Fix: leave it out");
  const auto index_path = (fs::path(path_) / "model_index.json").string();
  if (!fs::exists(index_path, failure)) throw BadFile(path_, "no model_index.json here (expected a folder in diffusers' layout; a component alone, such as motion modules, is no model)");
  index_ = read_object(index_path);
  for (const auto& [name, class_name, optional, or_class] : pipeline_of(index_, index_path).parts) {
    if (optional && !is_named(index_, name)) continue;
    const auto entry = index_.value(name, Json());
    if (!entry.is_array() || entry.size() != 2 || !entry[1].is_string()) throw BadFile(index_path, message("component ", name, " is absent"));
    const auto got = entry[1].get<std::string>();
    if (*class_name && got != class_name && got != std::string(class_name) + "Fast" && got != or_class) {
      throw BadFile(index_path, message("component ", name, " has another class (expected ", class_name, ", got ", escaped(got), ")"));
    }
    if (!fs::is_directory(component_path(name), failure)) throw BadFile(component_path(name), "no such component folder");
  }
  const bool beside = index_["_class_name"] == "AnimateDiffPipeline" && index_["unet"][1] == "UNet2DConditionModel";
  if (reading_.motion_adapter || beside) add_motion_modules();
}

// The modules that were asked for, or those beside a plain UNet in an AnimateDiff folder.
void ModelFolder::add_motion_modules() {
  const auto& given = reading_.motion_adapter;
  const bool clips = family() == "animatediff", own = clips && (has("motion_adapter") || index_["unet"][1] == "UNetMotionModel");
  if (given && own) throw InvalidArgument("motion_adapter: the model has motion modules already. Fix: leave it out");
  if (given && !clips && family() != "sd1")
    throw InvalidArgument(message("motion_adapter: a model of family ", family(), " takes none (expected Stable Diffusion 1.x). Fix: leave it out"));
  if (!given && !own) throw BadFile(path_, "component motion_adapter is absent, and the UNet has no motion modules. Fix: add --motion-adapter");
  motion_ = std::make_shared<MotionModules>(open_motion_modules(given.value_or(component_path("motion_adapter"))));
  index_["_class_name"] = "AnimateDiffPipeline";
  if (!given) return;
  index_["motion_adapter"] = {"diffusers", "MotionAdapter"};
  for (const char* unused : {"safety_checker", "requires_safety_checker"}) index_.erase(unused);
}

std::string ModelFolder::name() const {
  const auto whole = fs::absolute(path_).lexically_normal();  // "models/tiny/" and "." have names too
  if (file_) return whole.stem().string();
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

template <class Config>
Config ModelFolder::read_config(const std::string& name) const {
  const auto json = component_config(name);
  try {
    return Config::from_json(json);
  } catch (const InvalidArgument& error) {
    throw BadFile(component_path(name) + (file_ ? "" : "/config.json"), error.what());
  }
}

template UNetConfig ModelFolder::read_config<UNetConfig>(const std::string&) const;
template VaeConfig ModelFolder::read_config<VaeConfig>(const std::string&) const;
template MmditConfig ModelFolder::read_config<MmditConfig>(const std::string&) const;
template T5Config ModelFolder::read_config<T5Config>(const std::string&) const;
template ClipTextConfig ModelFolder::read_config<ClipTextConfig>(const std::string&) const;

std::string ModelFolder::family() const {
  if (index_.at("_class_name") == "AnimateDiffPipeline") return "animatediff";
  if (file_) return file_->layout().family;
  if (index_.at("_class_name") == "StableDiffusionXLPipeline") return "sdxl";
  if (index_.at("_class_name") == "StableDiffusion3Pipeline") return "sd3";
  return read_config<UNetConfig>("unet").use_linear_projection ? "sd2" : "sd1";
}

std::string ModelFolder::denoiser_name() const { return index_.contains("transformer") ? "transformer" : "unet"; }

std::vector<std::string> ModelFolder::present(const std::string& prefix) const {
  std::vector<std::string> names;
  for (const auto& part : pipeline_of(index_, path_).parts)
    if (std::string(part.name).starts_with(prefix) && (!part.optional || has(part.name))) names.emplace_back(part.name);
  return names;
}

std::vector<std::string> ModelFolder::text_encoder_names() const { return present("text_encoder"); }

std::vector<std::string> ModelFolder::tokenizer_names() const {
  std::vector<std::string> names;
  const std::string encoder = "text_encoder";
  for (const auto& name : text_encoder_names()) names.push_back("tokenizer" + name.substr(encoder.size()));
  return names;
}

void ModelFolder::require_whole() const {
  std::vector<std::string> absent, places;
  for (const auto& part : file_ ? file_->layout().parts : std::vector<SingleFilePart>()) {
    if (file_->has(part.component) || std::string(part.component) == "text_encoder_3") continue;
    absent.emplace_back(part.component);
    places.emplace_back(part.prefix);
  }
  if (!absent.empty()) {
    const bool clip = family() == "sd3" && absent.front() == "text_encoder";
    throw BadFile(path_, message("holds no ", first_five(absent), " (expected tensors under ", first_five(places), "). Fix: use a whole model",
                                 clip ? ", such as the file that is published with its CLIP encoders (T5 may be absent), or a folder" : ""));
  }
  for (const auto& name : tokenizer_names()) {
    if (file_) (void)file_->tokenizer_path(name);
    if (!has(name)) throw BadFile(path_, message("component ", name, " is absent. Fix: download the model again"));
  }
  require_fitting_parts();
}

void ModelFolder::require_fitting_parts() const {
  const auto what = parts_apart(family(), [&](const std::string& name) { return has(name) ? std::optional<Json>(component_config(name)) : std::nullopt; });
  if (!what.empty()) throw BadFile(path_, message("the parts do not fit each other: ", what, ". Fix: take all parts from one model"));
}

int64_t ModelFolder::resolution() const {
  const auto size = denoiser_name() == "unet" ? read_config<UNetConfig>("unet").sample_size : read_config<MmditConfig>("transformer").sample_size;
  if (!size) throw InvalidArgument(message(component_path(denoiser_name()), ": the config has no sample_size. Fix: add --resolution"));
  return *size * read_config<VaeConfig>("vae").factor();
}

std::string ModelFolder::component_path(const std::string& name) const { return file_ ? path_ + ": " + name : (fs::path(path_) / name).string(); }

bool ModelFolder::has(const std::string& component) const {
  if (file_) return component.starts_with("tokenizer") ? is_named(index_, component) : file_->has(component);
  std::error_code failure;
  return is_named(index_, component) && fs::is_directory(component_path(component), failure);
}

WeightFiles ModelFolder::weights(const std::string& component) const {
  const auto own = file_ ? file_->weights(component) : WeightFiles(component_path(component));
  return motion_ && component == "unet" ? own.with(motion_->weights) : own;
}

Json ModelFolder::component_config(const std::string& name) const {
  const Json own = own_config(name);
  if (!motion_ || name != "unet") return own;
  try {
    return unet_with_motion(own, motion_->config);
  } catch (const InvalidArgument& error) {
    throw BadFile(motion_->path, error.what());
  }
}

Json ModelFolder::own_config(const std::string& name) const {
  if (file_) return file_->config(name);
  return read_object((fs::path(path_) / name / "config.json").string());
}

std::string ModelFolder::component_hash(const std::string& name) const {
  Hasher hasher;
  const WeightFiles files = weights(name);
  std::map<std::string, WeightFiles::Entry> sorted;
  for (const auto& entry : files.entries()) {
    const std::string text = "text_model.", tensor = entry.info->name.rfind(text, 0) == 0 ? entry.info->name.substr(text.size()) : entry.info->name;
    if (!is_ignored(tensor)) sorted[tensor] = entry;
  }
  std::vector<char> bytes;
  for (const auto& [tensor, entry] : sorted) {
    bytes.resize(entry.info->bytes());
    entry.read(bytes.data());
    hasher.update(tensor);
    hasher.update(bytes.data(), bytes.size());
  }
  return hasher.hex();
}

template <class Model, class Config>
std::shared_ptr<Model> ModelFolder::load(const std::string& name, const Config& config, c10::ScalarType dtype, c10::Device device) const {
  auto model = std::make_shared<Model>(config, torch::TensorOptions().dtype(dtype).device(device));
  load_weights_(*model, weights(name), allow_nonfinite_);
  model->eval();
  return model;
}

std::shared_ptr<UNet2DConditionModel> ModelFolder::load_unet(c10::ScalarType dtype, c10::Device device) const {
  if (denoiser_name() != "unet") throw BadFile(path_, "has no UNet. Fix: use a Stable Diffusion 1.x, 2.x or XL model");
  const auto unet = load<UNet2DConditionModel>("unet", read_config<UNetConfig>("unet"), dtype, device);
  lay_out_for_device_(*unet);
  return unet;
}

std::shared_ptr<Denoiser> ModelFolder::load_denoiser(c10::ScalarType dtype, c10::Device device) const {
  if (denoiser_name() == "unet") return load_unet(dtype, device);
  return load<SD3Transformer2DModel>("transformer", read_config<MmditConfig>("transformer"), dtype, device);
}

std::shared_ptr<AutoencoderKL> ModelFolder::load_vae(c10::ScalarType dtype, c10::Device device) const {
  return load<AutoencoderKL>("vae", read_config<VaeConfig>("vae"), dtype, device);
}

std::shared_ptr<ClipTextModel> ModelFolder::load_clip_text(const std::string& name, c10::ScalarType dtype, c10::Device device) const {
  auto config = read_config<ClipTextConfig>(name);
  config.with_projection = index_.at(name)[1] == "CLIPTextModelWithProjection";  // config.json may not name its class
  return load<ClipTextModel>(name, config, dtype, device);
}

std::shared_ptr<T5EncoderModel> ModelFolder::load_t5(const std::string& name, c10::ScalarType dtype, c10::Device device) const {
  return load<T5EncoderModel>(name, read_config<T5Config>(name), dtype, device);
}

Json ModelFolder::scheduler_config() const {
  auto config = file_ ? file_->scheduler_config() : read_object((fs::path(path_) / "scheduler" / "scheduler_config.json").string());
  if (reading_.prediction_type) config["prediction_type"] = *reading_.prediction_type;
  if (reading_.motion_adapter) {  // what motion modules are trained with, whatever their base was
    config["beta_schedule"] = "linear";
    config["clip_sample"] = false;
  }
  return config;
}

}  // namespace sara
