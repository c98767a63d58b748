// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/pipeline_files.h"

#include <filesystem>

#include "sara/base/error.h"
#include "sara/files/input_file.h"
#include "sara/weights/weight_mismatch.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

std::string as_file(const Json& json) { return json.dump(2) + "\n"; }

bool starts(const std::string& text, const std::string& start) { return text.rfind(start, 0) == 0; }

// The files of a folder that hold no weights, under `prefix` + their path in it.
void add_small_files(const fs::path& folder, const std::string& prefix, std::map<std::string, std::string>& files) {
  for (const auto& entry : fs::recursive_directory_iterator(folder, fs::directory_options::follow_directory_symlink)) {
    const auto name = entry.path().lexically_relative(folder);
    if (entry.is_regular_file() && !holds_weights(name.string())) files[prefix + name.string()] = read_file(entry.path().string());
  }
}

std::string family_of_folder(const std::string& path, const Json& index) {
  const auto pipeline = index.value("_class_name", Json());
  if (pipeline == "StableDiffusionPipeline") {
    const auto config = (fs::path(path) / "unet" / "config.json").string();
    const Json unet = read_json(config);
    if (!unet.is_object()) throw BadFile(config, "is not a JSON object");
    return unet.value("use_linear_projection", Json(false)) == true ? "sd2" : "sd1";
  }
  if (pipeline == "StableDiffusionXLPipeline") return "sdxl";
  if (pipeline == "StableDiffusion3Pipeline") return "sd3";
  if (pipeline == "AnimateDiffPipeline") return "animatediff";
  throw BadFile((fs::path(path) / "model_index.json").string(),
                message("unsupported pipeline (expected StableDiffusionPipeline, StableDiffusionXLPipeline, StableDiffusion3Pipeline or AnimateDiffPipeline, got ", escaped(pipeline.dump()), ")"));
}

PipelineFiles open_motion_adapter(const std::string& path, const Json& config) {
  PipelineFiles out{path, "animatediff", {}, {}, {}, nullptr, {}};
  out.components.push_back({"motion_adapter", "MotionAdapter", config, WeightFiles(path)});
  add_small_files(path, "", out.files);
  return out;
}

void add_component(const fs::path& root, const std::string& name, const std::string& class_name, PipelineFiles& out) {
  const fs::path folder = root / name;
  if (!fs::is_directory(folder)) throw BadFile(folder.string(), "no such component folder, and model_index.json names it. Fix: download the model again");
  add_small_files(folder, name + "/", out.files);
  const bool needed = single_file_layout(out.family).part(name);
  if (!needed && !fs::exists(folder / "config.json")) return;  // a tokenizer, a scheduler
  if (!fs::exists(folder / "config.json")) throw BadFile((folder / "config.json").string(), "is missing. Fix: download the model again");
  const Json config = read_json((folder / "config.json").string());
  if (!config.is_object()) throw BadFile((folder / "config.json").string(), "is not a JSON object");
  out.components.push_back({name, class_name, config, WeightFiles(folder.string())});
}

PipelineFiles open_folder(const std::string& path, bool tolerant) {
  const fs::path root(path);
  if (!fs::exists(root / "model_index.json") && fs::exists(root / "config.json")) {
    const Json config = read_json((root / "config.json").string());
    if (config.is_object() && config.value("_class_name", Json()) == "MotionAdapter") return open_motion_adapter(path, config);
  }
  if (!fs::exists(root / "model_index.json")) throw BadFile(path, "no model_index.json here (expected a folder in diffusers' layout, or that of a MotionAdapter)");
  const Json index = read_json((root / "model_index.json").string());
  if (!index.is_object()) throw BadFile((root / "model_index.json").string(), "is not a JSON object");
  PipelineFiles out{path, family_of_folder(path, index), {}, {}, {}, nullptr, {}};
  for (const auto& [name, entry] : index.items()) {
    if (!entry.is_array() || entry.size() != 2 || !entry[1].is_string()) continue;
    try {
      add_component(root, name, entry[1].get<std::string>(), out);
    } catch (const BadFile& error) {
      if (!tolerant) throw;
      out.problems.emplace_back(error.what());
    }
  }
  for (const auto& entry : fs::directory_iterator(root)) {
    if (entry.is_regular_file() && !holds_weights(entry.path().filename().string())) out.files[entry.path().filename().string()] = read_file(entry.path().string());
  }
  return out;
}

void add_tokenizer(const SingleFile& file, const std::string& name, PipelineFiles& out) {
  if (!file.has_tokenizer(name)) {
    out.missing_tokenizers.push_back(name);
  } else {
    add_small_files(file.tokenizer_path(name), name + "/", out.files);
  }
}

PipelineFiles open_single_file(const std::string& path, const ModelReading& reading, bool tolerant) {
  PipelineFiles out{path, "", {}, {}, {}, std::make_shared<SingleFile>(path, reading), {}};
  const SingleFile& file = *out.single;
  out.family = file.layout().family;
  const bool whole = file.layout().pipeline;
  out.files = file.kept_files();
  const Json index = file.index();
  if (whole) out.files.try_emplace("model_index.json", as_file(index));
  for (const auto& part : file.layout().parts) {
    if (!file.has(part.component)) continue;
    try {
      const Json config = file.config(part.component);
      out.components.push_back({part.component, part.class_name, config, file.weights(part.component)});
      out.files.try_emplace(whole ? std::string(part.component) + "/config.json" : "config.json", as_file(config));
    } catch (const BadFile& error) {
      if (!tolerant) throw;
      out.problems.emplace_back(error.what());
    }
  }
  if (!whole) return out;
  if (file.prediction_type() && (reading.prediction_type || !out.files.count("scheduler/scheduler_config.json")))
    out.files["scheduler/scheduler_config.json"] = as_file(file.scheduler_config());
  for (const auto& [name, entry] : index.items()) {
    if (!starts(name, "tokenizer") || !entry.is_array() || !entry[0].is_string()) continue;
    if (reading.tokenizer || !file.has_tokenizer(name)) add_tokenizer(file, name, out);
  }
  return out;
}

}  // namespace

bool PipelineFiles::Component::flattened() const {
  if (!starts(class_name, "CLIPText")) return false;
  for (const auto& entry : weights.entries()) {
    if (starts(entry.info->name, "text_model.")) return false;
  }
  return true;
}

std::string PipelineFiles::Component::canonical(const std::string& tensor) const {
  if (starts(class_name, "CLIPText")) {
    for (const char* start : {"embeddings.", "encoder.", "final_layer_norm."}) {
      if (starts(tensor, start)) return "text_model." + tensor;
    }
  }
  if (class_name == "AutoencoderKL") {
    static const std::pair<const char*, const char*> kEarly[] = {
        {".attentions.0.query.", ".attentions.0.to_q."}, {".attentions.0.key.", ".attentions.0.to_k."},
        {".attentions.0.value.", ".attentions.0.to_v."}, {".attentions.0.proj_attn.", ".attentions.0.to_out.0."}};
    for (const auto& [early, now] : kEarly) {
      if (const auto at = tensor.find(early); at != std::string::npos) return tensor.substr(0, at) + now + tensor.substr(at + std::string(early).size());
    }
  }
  return tensor;
}

void require_complete(const PipelineFiles& model) {
  for (const auto& component : model.components) {
    std::shared_ptr<torch::nn::Module> network;
    try {
      network = empty_network(component.class_name, component.config);
    } catch (const InvalidArgument& error) {
      throw BadFile(component.weights.folder(), error.what());
    }
    if (!network) continue;
    const WeightMismatch mismatch = weight_mismatch(*network, component.weights);
    if (!mismatch.none())
      throw BadFile(component.weights.folder(), message("the weights do not fit the config: ", mismatch.text(), ". Fix: use a whole and unmixed model"));
  }
}

PipelineFiles open_pipeline(const std::string& path, const ModelReading& reading, bool tolerant) {
  if (reading.motion_adapter) throw InvalidArgument("motion_adapter: has no effect on a model's layout. Fix: leave it out, and convert motion modules by themselves");
  std::error_code failure;
  if (!fs::is_directory(path, failure)) return open_single_file(path, reading, tolerant);
  if (reading.tokenizer) throw InvalidArgument("tokenizer: no effect with a model folder, which has its own. Fix: leave it out");
  PipelineFiles out = open_folder(path, tolerant);
  if (reading.prediction_type) {
    const std::string name = "scheduler/scheduler_config.json";
    Json config = parse_json(out.files.count(name) ? out.files.at(name) : "{}", path + "/" + name);
    config["prediction_type"] = *reading.prediction_type;
    out.files[name] = as_file(config);
  }
  return out;
}

}  // namespace sara
