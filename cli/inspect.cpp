// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <map>

#include "cli/output.h"
#include "cli/verbs.h"
#include "sara/base/error.h"
#include "sara/weights/adapter.h"
#include "sara/weights/adapter_base.h"
#include "sara/weights/model_folder.h"
#include "sara/weights/precision.h"
#include "sara/weights/shards.h"

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

Json component_summary(const std::string& folder, bool list) {
  const WeightFiles files(folder);
  std::vector<const TensorInfo*> tensors;
  for (const auto& entry : files.entries()) tensors.push_back(entry.info);
  Json out = weights_summary(tensors, list);
  Json names = Json::array();
  for (const auto& path : files.paths()) names.push_back(fs::path(path).filename().string());
  out["files"] = names;
  return out;
}

Json model_summary(const std::string& path, bool list) {
  const ModelFolder model(path);
  Json out{{"kind", "model"}, {"family", model.family()}, {"pipeline", model.index()["_class_name"]}};
  Json parts = Json::object();
  for (const auto& [name, entry] : model.index().items()) {
    if (!entry.is_array() || entry.size() != 2 || !entry[1].is_string()) continue;
    Json part{{"class", entry[1]}};
    if (name == model.denoiser_name() || name == "vae" || name.starts_with("text_encoder")) part.update(component_summary(model.component_path(name), list));
    parts[name] = part;
  }
  out["parts"] = parts;
  if (!model.component_config(model.denoiser_name()).value("sample_size", Json()).is_null()) out["resolution"] = model.resolution();
  const auto scheduler = model.scheduler_config();
  out["prediction_type"] = scheduler.value("prediction_type", "epsilon");
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
  const auto config = read_json((fs::path(path) / "config.json").string());
  Json out{{"kind", "component"}, {"class", config.value("_class_name", Json())}};
  out.update(component_summary(path, list));
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
