// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <map>

#include "cli/output.h"
#include "cli/verbs.h"
#include "sara/base/error.h"
#include "sara/weights/adapter.h"
#include "sara/weights/adapter_base.h"
#include "sara/weights/parts_fit.h"
#include "sara/weights/pipeline_files.h"
#include "sara/weights/precision.h"
#include "sara/weights/weight_mismatch.h"

namespace sara::cli {
namespace {

namespace fs = std::filesystem;

struct InspectVerb {
  std::string path;
  struct Options {
    bool json = false, tensors = false;
    template <class V>
    void visit(V&& v) {
      v("json", json, "Print one JSON object");
      v("tensors", tensors, "List every tensor with its type and shape");
    }
  } options;
};

// How many numbers of which types, from the headers alone.
Json weights_summary(const std::vector<const TensorInfo*>& tensors, bool list) {
  int64_t weights = 0;
  uint64_t bytes = 0;
  std::map<std::string, int64_t> types;
  Json listed = Json::object();
  for (const auto* info : tensors) {
    weights += info->numel();
    bytes += info->bytes();
    types[std::string(name(info->dtype))] += info->numel();
    if (list) listed[info->name] = std::string(name(info->dtype)) + " " + Json(info->shape).dump();
  }
  Json out{{"weights", weights}, {"tensors", tensors.size()}, {"bytes", bytes}, {"types", types}};
  if (list) out["listed"] = listed;
  return out;
}

Json component_summary(const std::string& class_name, const Json& config, const WeightFiles& files, bool list) {
  std::vector<const TensorInfo*> tensors;
  for (const auto& entry : files.entries()) tensors.push_back(entry.info);
  Json out = weights_summary(tensors, list);
  Json names = Json::array();
  for (const auto& path : files.paths()) names.push_back(fs::path(path).filename().string());
  out["files"] = names;
  try {
    const auto network = empty_network(class_name, config);
    if (!network) return out;
    const WeightMismatch mismatch = weight_mismatch(*network, files);
    if (!mismatch.none()) out["mismatch"] = mismatch.text();
  } catch (const Error& error) {
    out["mismatch"] = error.what();
  }
  return out;
}

// What a pipeline of this family has and this one has not, in words.
Json missing_parts(const PipelineFiles& model) {
  Json missing = model.problems;
  const auto held = [&](const std::string& name) { return std::ranges::any_of(model.components, [&](const auto& component) { return component.name == name; }); };
  const auto need_parts = [&](const std::string& family) {
    for (const auto& part : single_file_layout(family).parts)
      if (!held(part.component) && std::string(part.component) != "text_encoder_3" && model.problems.empty()) missing.push_back(part.component);
  };
  const bool moves = std::ranges::any_of(model.components, [](const auto& component) { return component.class_name == "UNetMotionModel"; });
  if (!moves) need_parts(model.family);  // such a UNet needs no motion modules beside it
  if (model.family == "animatediff" && model.files.count("model_index.json")) need_parts("sd1");
  for (const auto& name : model.missing_tokenizers) missing.push_back(name);
  if (model.single && model.single->layout().pipeline && !model.single->prediction_type()) missing.push_back("prediction type");
  return missing;
}

Json model_summary(const std::string& path, bool list) {
  const PipelineFiles model = open_pipeline(path, {}, /*tolerant=*/true);
  const auto file = [&](const std::string& name) {
    const auto found = model.files.find(name);
    const Json json = found == model.files.end() ? Json::object() : parse_json(found->second, path + "/" + name);
    return json.is_object() ? json : Json::object();
  };
  const Json index = file("model_index.json"), scheduler = file("scheduler/scheduler_config.json");
  Json out{{"kind", "model"}, {"layout", model.single ? "single file" : "folder"}, {"family", model.family}};
  if (index.contains("_class_name")) out["pipeline"] = index["_class_name"];
  Json parts = Json::object();
  for (const auto& component : model.components) {
    Json part{{"class", component.class_name}};
    part.update(component_summary(component.class_name, component.config, component.weights, list));
    parts[component.name] = part;
  }
  for (const auto& [name, entry] : index.items()) {
    const bool named = entry.is_array() && entry.size() == 2 && entry[1].is_string();
    const bool held = std::ranges::any_of(model.files, [&, start = name + "/"](const auto& one) { return one.first.rfind(start, 0) == 0; });
    if (named && held && !parts.contains(name)) parts[name] = {{"class", entry[1]}};
  }
  out["parts"] = parts;
  const auto config_of = [&](const std::string& name) {
    const auto found = std::ranges::find(model.components, name, &PipelineFiles::Component::name);
    return found == model.components.end() ? std::nullopt : std::optional<Json>(found->config);
  };
  if (const auto what = parts_apart(model.family, config_of); !what.empty()) out["mismatch"] = "the parts do not fit each other: " + what;
  const Json unet = file("unet/config.json"), transformer = file("transformer/config.json"), vae = file("vae/config.json");
  const Json& denoiser = unet.empty() ? transformer : unet;
  if (denoiser.value("sample_size", Json()).is_number_integer() && vae.value("block_out_channels", Json()).is_array())
    out["resolution"] = denoiser["sample_size"].get<int64_t>() << (vae["block_out_channels"].size() - 1);
  if (!scheduler.empty()) {
    const bool flow = scheduler.value("_class_name", Json()) == "FlowMatchEulerDiscreteScheduler";
    out["prediction_type"] = flow ? Json("flow") : scheduler.value("prediction_type", Json("epsilon"));
  }
  if (model.single) {
    Json metadata = Json::object();
    for (const auto& [key, value] : model.single->file().metadata())
      if (key != kKeptFiles) metadata[key] = value;
    out["metadata"] = metadata;
    if (const auto unknown = model.single->unknown(); !unknown.empty()) out["unknown"] = first_five(unknown);
  }
  out["missing"] = missing_parts(model);
  return out;
}

Json adapter_summary(const std::string& path, bool list) {
  const auto adapter = load_adapter(path);
  int64_t per_tensor_most = 0;
  bool values = false;
  Json listed = Json::object();
  for (const auto& [key, tensor] : adapter.tensors) {
    per_tensor_most = std::max(per_tensor_most, tensor.indices.numel());
    values |= tensor.is_value;
    if (list) listed[key] = tensor.indices.numel();
  }
  Json out{{"kind", "adapter"}, {"weights", adapter.count()}, {"tensors", adapter.tensors.size()}, {"bytes", fs::file_size(path)},
           {"form", values ? "value" : "delta"}, {"precision", precision_name(training_dtype(adapter))}};
  if (adapter.count() > 0) out["bytes_per_weight"] = double(fs::file_size(path)) / double(adapter.count());
  for (const auto& [key, value] : adapter.metadata) {
    if (key != "base_hash" && key != "config" && !out.contains(key)) out[key] = value;
  }
  const auto config = adapter.metadata.find("config");
  if (config != adapter.metadata.end() && list) out["config"] = parse_json(config->second, path + ": config");
  if (list) out["listed"] = listed;
  return out;
}

Json file_summary(const std::string& path, bool list) {
  const SafetensorsReader reader(path);
  const auto format = reader.metadata().find("format");
  if (format != reader.metadata().end() && format->second == "sara-adapter") return adapter_summary(path, list);
  if (is_single_file(reader)) return model_summary(path, list);
  std::vector<const TensorInfo*> tensors;
  for (const auto& info : reader.tensors()) tensors.push_back(&info);
  Json out{{"kind", "weights"}};
  out.update(weights_summary(tensors, list));
  out["metadata"] = reader.metadata();
  return out;
}

Json summary(const std::string& path, bool list) {
  if (!fs::exists(path)) throw BadFile(path, "no such file or folder");
  if (!fs::is_directory(path)) return file_summary(path, list);
  if (fs::exists(fs::path(path) / "model_index.json") || !fs::exists(fs::path(path) / "config.json")) return model_summary(path, list);
  const auto config_path = (fs::path(path) / "config.json").string();
  const auto config = read_json(config_path);
  if (!config.is_object()) throw BadFile(config_path, "is not a JSON object");
  Json name = config.value("_class_name", Json());
  if (name == "MotionAdapter") return model_summary(path, list);
  if (const Json list_of = config.value("architectures", Json()); name.is_null() && list_of.is_array() && !list_of.empty()) name = list_of[0];
  Json out{{"kind", "component"}, {"class", name}};
  out.update(component_summary(name.is_string() ? name.get<std::string>() : "", config, WeightFiles(path), list));
  return out;
}

std::string as_text(const Json& value, const std::string& indent = "") {
  std::string out;
  for (const auto& [key, item] : value.items()) {
    out += indent + escaped(key) + ":";
    if (item.is_object() && !item.empty()) {
      out += "\n" + as_text(item, indent + "  ");
    } else {
      out += " " + (item.is_string() ? escaped(item.get<std::string>()) : item.dump()) + "\n";
    }
  }
  return out;
}

}  // namespace

Command inspect_command() {
  auto verb = std::make_shared<InspectVerb>();
  Command command("inspect", "Show what a model folder, a weight file or an adapter holds");
  command.example("sara inspect models/mini-sd")
      .example("sara inspect run/adapter.safetensors --json")
      .positional("PATH", verb->path, "model folder, component folder or .safetensors file")
      .add(verb->options)
      .on_run([verb](const Command&) {
        Json found{{"path", verb->path}};
        found.update(summary(verb->path, verb->options.tensors));
        print(verb->options.json ? found.dump(2) + "\n" : as_text(found));
      });
  return command;
}

}  // namespace sara::cli
