// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <filesystem>

#include "cli/output.h"
#include "cli/verbs.h"
#include "sara/base/error.h"
#include "sara/samplers/scheduler_config.h"
#include "sara/tokenizers/clip.h"
#include "sara/tokenizers/t5.h"
#include "sara/weights/adapter_base.h"
#include "sara/weights/model_tensors.h"
#include "sara/weights/pipeline_files.h"
#include "sara/weights/precision.h"
#include "sara/weights/tensor_file.h"

namespace sara::cli {
namespace {

namespace fs = std::filesystem;

struct VerifyVerb {
  std::string path;
  struct Options {
    std::optional<std::string> model, motion_adapter;
    bool json = false;
    template <class V>
    void visit(V&& v) {
      v("model", model, "Model an adapter must have been made for: its family, tensors and base hashes are compared");
      v("motion_adapter", motion_adapter, "AnimateDiff's motion modules beside that model");
      v("json", json, "Print one JSON object");
    }
  } options;
};

// What was checked, in order; whatever fails throws.
using Checks = std::vector<std::string>;

void require_hashes(const Adapter& adapter) {
  const auto hashes = base_hashes_of(adapter);
  for (const auto& [key, tensor] : adapter.tensors) {
    const auto found = hashes.find(key);
    const bool good = found != hashes.end() && found->second.size() == 32 && found->second.find_first_not_of("0123456789abcdef") == std::string::npos;
    if (!good)
      throw BadFile(adapter.source, message("base hash of ", escaped(key), " (expected 32 hexadecimal digits, got ",
                                            found == hashes.end() ? "none" : escaped(found->second), "). Fix: save the adapter again"));
  }
}

Checks verify_adapter(const std::string& path, const std::optional<std::string>& base, const std::optional<std::string>& motion_adapter) {
  const Adapter adapter = load_adapter(path);
  if (adapter.tensors.empty()) throw BadFile(path, "holds no tensors. Fix: train or extract it again");
  Checks checks{message("container: header, types, sizes and offsets of ", fs::file_size(path), " bytes"), "format: sara-adapter, version 1",
                message("tensors: ", adapter.tensors.size(), " with ", adapter.count(), " weights, indices increasing, as many as data, all finite")};
  require_hashes(adapter);
  checks.push_back(message("base hashes: one for each tensor; precision ", precision_name(training_dtype(adapter))));
  if (!base) return checks;
  ModelReading reading;
  reading.motion_adapter = motion_adapter;
  const ModelFolder model(*base, reading);
  require_base(adapter, model_tensors(model, keys_of({{adapter, 1.0}})), model.family());
  checks.push_back(message("base ", model.name(), ": family ", model.family(), ", all tensors there and large enough, ", adapter.tensors.size(), " base hashes equal"));
  return checks;
}

// Whether a path holds parts of a model alone: motion modules, Stable Diffusion 3 as it is published without text encoders, one component.
bool is_part(const std::string& path) {
  if (!fs::is_directory(path)) {
    const SingleFile file(path);
    return !file.layout().pipeline || (std::string(file.layout().family) == "sd3" && !file.has("text_encoder"));
  }
  const auto index = fs::path(path) / "model_index.json";
  return !fs::exists(index) && fs::exists(fs::path(path) / "config.json");
}

// Of parts: names, shapes and numbers.
Checks verify_parts(const PipelineFiles& model) {
  require_complete(model);
  Checks checks;
  for (const auto& component : model.components) {
    for (const auto& entry : component.weights.entries()) {
      const torch::Tensor tensor = read_tensor(entry);
      if (tensor.is_floating_point() && !tensor.to(torch::kFloat).isfinite().all().item<bool>())
        throw BadFile(entry.reader->path(), message("tensor ", escaped(entry.info->name), " holds NaN or Inf values. Fix: use an undamaged file"));
    }
    checks.push_back(message(component.name, ": ", component.weights.entries().size(), " tensors, all finite"));
  }
  return checks;
}

Checks verify_model(const std::string& path) {
  if (is_part(path)) return verify_parts(open_pipeline(path));
  const ModelFolder model(path);
  Checks checks{model.single_file() ? message("single file: family ", model.family(), ", components") : "model_index.json: pipeline and components"};
  if (const auto unknown = model.single_file() ? model.single_file()->unknown() : std::vector<std::string>(); !unknown.empty())
    throw BadFile(path, message(unknown.size(), " tensors belong to no part of a model of family ", model.family(), ": ", first_five(unknown), ". Fix: use an unmixed file"));
  const auto add = [&](const std::string& component, const torch::nn::Module& module) {
    int64_t weights = 0, tensors = 0;
    for (const auto& parameter : module.parameters()) weights += parameter.numel(), ++tensors;
    checks.push_back(message(component, ": config, ", tensors, " tensors by name, shape and type, ", weights, " weights, all finite"));
  };
  add(model.denoiser_name(), *model.load_denoiser(torch::kFloat));
  add("vae", *model.load_vae(torch::kFloat));
  for (const auto& name : model.text_encoder_names()) {
    if (name == "text_encoder_3")
      add(name, *model.load_t5(name, torch::kFloat));
    else
      add(name, *model.load_clip_text(name, torch::kFloat));
  }
  model.require_fitting_parts();
  for (const auto& name : model.tokenizer_names()) {
    if (model.single_file() && !model.single_file()->has_tokenizer(name)) continue;  // as single files of others
    if (name == "tokenizer_3")
      T5Tokenizer(model.tokenizer_path(name), 1);
    else
      ClipTokenizer(model.tokenizer_path(name));
    checks.push_back(name + (name == "tokenizer_3" ? ": pieces" : ": vocabulary and merges"));
  }
  if (model.single_file() && !model.single_file()->prediction_type()) return checks;
  SchedulerConfig::from_json(model.scheduler_config(), model.component_path("scheduler") + "/scheduler_config.json");
  checks.push_back("scheduler: config");
  return checks;
}

Checks verify_weights(const SafetensorsReader& reader) {
  for (const auto& info : reader.tensors()) {
    const torch::Tensor tensor = read_tensor(reader, info);
    if (tensor.is_floating_point() && !tensor.to(torch::kFloat).isfinite().all().item<bool>())
      throw BadFile(reader.path(), message("tensor ", escaped(info.name), " holds NaN or Inf values. Fix: use an undamaged file"));
  }
  return {message("container: header, types, sizes and offsets of ", fs::file_size(reader.path()), " bytes"),
          message("tensors: ", reader.tensors().size(), ", all finite")};
}

std::pair<std::string, Checks> verified(const VerifyVerb& verb) {
  if (verb.options.motion_adapter && !verb.options.model)
    throw InvalidArgument("--motion-adapter: has no effect without --model. Fix: add --model, or verify the motion modules by themselves");
  std::error_code failure;
  if (!fs::exists(verb.path, failure)) throw IoError(verb.path, "nothing to verify. Fix: give an existing file or folder", ENOENT);
  if (!fs::is_directory(verb.path, failure)) {
    const SafetensorsReader reader(verb.path);
    const auto format = reader.metadata().find("format");
    if (format != reader.metadata().end() && format->second == "sara-adapter") return {"adapter", verify_adapter(verb.path, verb.options.model, verb.options.motion_adapter)};
    if (!verb.options.model && !is_single_file(reader)) return {"weights", verify_weights(reader)};
  }
  if (verb.options.model) throw InvalidArgument(message("--model: is for adapters, and ", escaped(verb.path), " is none. Fix: leave it out"));
  return {"model", verify_model(verb.path)};
}

}  // namespace

Command verify_command() {
  auto verb = std::make_shared<VerifyVerb>();
  Command command("verify", "Check all of an adapter, a model or a weight file, and an adapter against its base");
  command.example("sara verify run/adapter.safetensors --model stable-diffusion-v1-5")
      .example("sara verify models/mini-sd")
      .positional("PATH", verb->path, "adapter, model folder or .safetensors file")
      .add(verb->options)
      .on_run([verb](const Command&) {
        const auto [kind, checks] = verified(*verb);
        if (verb->options.json) return print(Json{{"path", verb->path}, {"kind", kind}, {"checks", checks}}.dump(2) + "\n");
        for (const auto& check : checks) print("ok  " + check + "\n");
      });
  return command;
}

}  // namespace sara::cli
