// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/merged_folder.h"

#include <sys/statvfs.h>

#include <filesystem>
#include <set>

#include "sara/base/error.h"
#include "sara/files/atomic_folder.h"
#include "sara/files/json.h"
#include "sara/weights/adapter_base.h"
#include "sara/weights/applied_adapters.h"
#include "sara/weights/convert.h"
#include "sara/weights/model_tensors.h"
#include "sara/weights/precision.h"
#include "sara/weights/shards.h"
#include "sara/weights/tensor_file.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

using Changes = ChangedTensors;

void copy_whole(const fs::path& from, const fs::path& to) {
  std::error_code failure;
  fs::copy_file(from, to, failure);
  if (failure) throw IoError(to.string(), "cannot copy " + from.string(), failure.value());
}

void write_changed_file(const SafetensorsReader& reader, const std::map<std::string, torch::Tensor>& changed, const fs::path& to) {
  TensorMap tensors;
  for (const auto& info : reader.tensors()) {
    const auto found = changed.find(info.name);
    tensors[info.name] = found == changed.end() ? read_tensor(reader, info) : found->second;
  }
  save_tensors(to.string(), tensors, reader.metadata());
}

// An index of shards belongs to the weights that were read, or to a variant that was not.
bool is_index_of(const fs::path& file, const std::set<fs::path>& chosen) {
  if (file.filename().string().find(".safetensors.index.") == std::string::npos) return false;
  const auto map = read_json(file.string()).value("weight_map", Json::object());
  for (const auto& [tensor, shard] : map.items()) {
    if (shard.is_string() && chosen.count(shard.get<std::string>())) return true;
  }
  return false;
}

// One component with changed tensors: the weight files that were read, and everything in it that holds no weights.
void write_component(const fs::path& from, const fs::path& to, const std::map<std::string, torch::Tensor>& changed, MergeReport& report) {
  const WeightFiles files(from.string());
  std::map<const SafetensorsReader*, bool> readers;  // whether it holds a changed tensor
  for (const auto& entry : files.entries()) readers[entry.reader] |= changed.count(entry.info->name) > 0;
  std::set<fs::path> chosen;
  for (const auto& [reader, anew] : readers) {
    const auto name = fs::path(reader->path()).lexically_relative(from);
    chosen.insert(name);
    fs::create_directories((to / name).parent_path());
    anew ? write_changed_file(*reader, changed, to / name) : copy_whole(reader->path(), to / name);
  }
  for (const auto& entry : fs::recursive_directory_iterator(from)) {
    const auto name = entry.path().lexically_relative(from);
    if (entry.is_directory() || chosen.count(name)) continue;
    if (holds_weights(name) && !is_index_of(entry.path(), chosen)) {
      report.left_out.push_back((from.filename() / name).string());
      continue;
    }
    fs::create_directories((to / name).parent_path());
    copy_whole(entry.path(), to / name);
  }
}

// Weights at the top of the folder are a single-file copy of the model as it was.
void copy_model(const fs::path& from, const fs::path& to, const Changes& changes, MergeReport& report) {
  for (const auto& entry : fs::directory_iterator(from)) {
    const auto name = entry.path().filename();
    const auto changed = changes.find(name.string());
    if (changed != changes.end()) {
      write_component(entry.path(), to / name, changed->second, report);
    } else if (entry.is_directory()) {
      fs::copy(entry.path(), to / name, fs::copy_options::recursive);
    } else if (holds_weights(name)) {
      report.left_out.push_back(name.string());
    } else {
      copy_whole(entry.path(), to / name);
    }
  }
}

// Motion modules lie in their own files too, whatever the UNet's: these follow it, each tensor in its own type.
void add_motion_changes(const WeightFiles& files, Changes& changes) {
  const auto found = changes.find("unet");
  if (found == changes.end()) return;
  for (const auto& entry : files.entries()) {
    const auto changed = found->second.find(entry.info->name);
    if (changed != found->second.end()) changes["motion_adapter"][entry.info->name] = changed->second.to(*torch_dtype(entry.info->dtype));
  }
}

// The motion modules that were given beside the model, as its component: its folder is then that of an AnimateDiffPipeline.
void write_motion_component(const ModelFolder& model, const fs::path& to, const Changes& changes) {
  const MotionModules& modules = *model.motion_modules();
  const auto found = changes.find("motion_adapter");
  TensorMap tensors;
  for (const auto& entry : modules.weights.entries()) tensors[entry.info->name] = read_tensor(entry);
  if (found != changes.end())
    for (const auto& [name, tensor] : found->second) tensors[name] = tensor;
  fs::create_directories(to / "motion_adapter");
  write_json((to / "motion_adapter" / "config.json").string(), modules.config);
  save_tensors((to / "motion_adapter" / "diffusion_pytorch_model.safetensors").string(), tensors, {{"format", "pt"}});
  write_json((to / "model_index.json").string(), model.index());
  write_json((to / "scheduler" / "scheduler_config.json").string(), model.scheduler_config());
}

// A single file and the motion modules beside it as the parts of an AnimateDiffPipeline.
PipelineFiles with_motion_modules(PipelineFiles files, const ModelFolder& model) {
  const MotionModules& modules = *model.motion_modules();
  files.components.push_back({"motion_adapter", "MotionAdapter", modules.config, modules.weights});
  const auto keep = [&](const char* name, const Json& json) { files.files[name] = json.dump(2) + "\n"; };
  keep("motion_adapter/config.json", modules.config);
  keep("model_index.json", model.index());
  keep("scheduler/scheduler_config.json", model.scheduler_config());
  return files;
}

void require_space(const fs::path& source, const fs::path& target) {
  uint64_t needed = 0;
  for (const auto& entry : fs::recursive_directory_iterator(source, fs::directory_options::follow_directory_symlink)) {
    if (entry.is_regular_file()) needed += entry.file_size();
  }
  struct statvfs disk {};
  if (statvfs(target.c_str(), &disk) != 0) return;
  const uint64_t available = uint64_t(disk.f_bavail) * disk.f_frsize;
  if (available < needed) {
    throw IoError(target.string(), message("too little disk space for the merged model (needed ", needed / 1000000, " MB, free ", available / 1000000, " MB)"),
                  ENOSPC);
  }
}

void require_apart(const fs::path& model, const fs::path& output) {
  const auto a = fs::weakly_canonical(model), b = fs::weakly_canonical(output);
  const auto inside = [](const fs::path& inner, const fs::path& outer) {
    const auto way = inner.lexically_relative(outer);
    return !way.empty() && *way.begin() != "..";
  };
  if (inside(a, b) || inside(b, a)) {
    throw InvalidArgument(message("output: ", escaped(output.string()), " is the model's folder, lies in it or holds it. Fix: choose another --output"));
  }
}

// The new weights of all tensors that the adapters touch.
Changes merged_tensors(const ModelFolder& model, const std::vector<ScaledAdapter>& adapters, bool force, MergeReport& report) {
  const auto tensors = model_tensors(model, keys_of(adapters));
  if (!force) {
    for (const auto& [adapter, scale] : adapters) require_base(adapter, tensors, model.family());
  }
  AppliedAdapters applied(tensors, model.family());
  for (const auto& [adapter, scale] : adapters) applied.add(adapter, scale, /*force=*/true);  // checked above, in the type of its training

  std::map<std::string, std::vector<torch::Tensor>> masks;
  for (const auto& [adapter, scale] : adapters) {
    for (const auto& [key, tensor] : adapter.tensors) masks[key].push_back(tensor.indices.to(at::kLong));
  }
  for (const auto& [key, parts] : masks) report.changed_weights += std::get<0>(at::_unique(at::cat(parts))).numel();
  Changes changes;
  for (const auto& [key, tensor] : tensors) changes[split_key(key).first][split_key(key).second] = tensor;
  report.changed_tensors = static_cast<int64_t>(tensors.size());
  return changes;
}

}  // namespace

MergeReport write_merged_folder(const ModelFolder& model, const std::vector<ScaledAdapter>& adapters, const std::string& output, bool overwrite,
                                bool force) {
  require_apart(model.path(), output);
  AtomicFolder folder(output, overwrite);
  require_space(model.path(), folder.temporary());
  MergeReport report;
  Changes changes = merged_tensors(model, adapters, force, report);
  const bool beside = model.reading().motion_adapter.has_value();
  if (beside)
    add_motion_changes(model.motion_modules()->weights, changes);
  else if (model.family() == "animatediff" && model.has("motion_adapter"))
    add_motion_changes(WeightFiles(model.component_path("motion_adapter")), changes);
  copy_model(model.path(), folder.temporary(), changes, report);
  if (beside) write_motion_component(model, folder.temporary(), changes);
  folder.commit();
  return report;
}

MergeReport write_merged_model(const ModelFolder& model, const std::vector<ScaledAdapter>& adapters, const std::string& output, bool overwrite,
                               bool force) {
  const bool to_file = fs::path(output).extension() == ".safetensors";
  if (!to_file && !model.single_file()) return write_merged_folder(model, adapters, output, overwrite, force);
  const bool clips = model.family() == "animatediff";
  if (clips && to_file) throw InvalidArgument("output: a whole AnimateDiff model has no single-file form. Fix: choose a folder");
  require_apart(model.path(), output);
  MergeReport report;
  Changes changes = merged_tensors(model, adapters, force, report);
  ModelReading reading = model.reading();
  reading.motion_adapter.reset();  // read above
  PipelineFiles files = open_pipeline(model.path(), reading);
  if (clips) {
    add_motion_changes(model.motion_modules()->weights, changes);
    files = with_motion_modules(std::move(files), model);
  }
  ConvertOptions options;
  options.overwrite = overwrite;
  const auto written = to_file ? write_single_file(files, changes, output, options) : write_model_folder(files, changes, output, options);
  report.left_out = written.left_out;
  return report;
}

}  // namespace sara
