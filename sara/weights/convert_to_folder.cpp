// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <set>

#include "sara/base/error.h"
#include "sara/files/atomic_file.h"
#include "sara/files/atomic_folder.h"
#include "sara/weights/convert.h"
#include "sara/weights/convert_tensor.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

struct FolderTensor {
  std::string name;
  WeightFiles::Entry entry;
  uint64_t bytes = 0;
};

// "diffusion_pytorch_model.fp16-00001-of-00002.safetensors"
std::string shard_name(const std::string& stem, const std::string& variant, size_t number, size_t count) {
  const std::string dotted = variant.empty() ? "" : "." + variant;
  if (count == 1) return stem + dotted + ".safetensors";
  char digits[32];
  std::snprintf(digits, sizeof digits, "-%05zu-of-%05zu", number + 1, count);
  return stem + dotted + digits + ".safetensors";
}

// Names in a folder: CLIP's as the folder had them that the single file was made of.
std::vector<FolderTensor> folder_tensors(const PipelineFiles& model, const PipelineFiles::Component& component, const ConvertOptions& options) {
  bool flatten = false;
  if (model.single) {
    const auto& metadata = model.single->file().metadata();
    const auto listed = metadata.find(kFlattened);
    flatten = listed != metadata.end() && ("," + listed->second + ",").find("," + component.name + ",") != std::string::npos;
  }
  std::vector<FolderTensor> out;
  for (const auto& entry : component.weights.entries()) {
    const std::string prefix = "text_model.", &name = entry.info->name;
    out.push_back({flatten && name.rfind(prefix, 0) == 0 ? name.substr(prefix.size()) : name, entry,
                   *tensor_bytes(written_dtype(*entry.info, options), entry.info->shape)});
  }
  std::ranges::sort(out, {}, &FolderTensor::name);
  return out;
}

// Consecutive tensors, as many as fit into a file of this size; a larger one stands alone.
std::vector<std::vector<FolderTensor>> shards_of(std::vector<FolderTensor> tensors, uint64_t limit) {
  std::vector<std::vector<FolderTensor>> out(1);
  uint64_t size = 0;
  for (auto& tensor : tensors) {
    if (!out.back().empty() && size + tensor.bytes > limit) {
      out.emplace_back();
      size = 0;
    }
    size += tensor.bytes;
    out.back().push_back(std::move(tensor));
  }
  return out;
}

void write_component(const PipelineFiles& model, const PipelineFiles::Component& component, const fs::path& folder, const ChangedTensors& changed,
                     const ConvertOptions& options, ConvertReport& report) {
  const bool encoder = component.class_name.starts_with("CLIPText") || component.class_name.starts_with("T5");
  const std::string stem = encoder ? "model" : "diffusion_pytorch_model";  // as transformers and diffusers name them
  const auto shards = shards_of(folder_tensors(model, component, options), options.shard_bytes);
  Json map = Json::object();
  uint64_t bytes = 0;
  fs::create_directories(folder);
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string file = shard_name(stem, options.variant, i, shards.size());
    std::vector<TensorSource> sources;
    for (const auto& tensor : shards[i]) {
      sources.push_back({tensor.name, written_dtype(*tensor.entry.info, options), tensor.entry.info->shape, nullptr, [&](void* out) {
                           copy_bytes(written_tensor(component.name, tensor.entry, changed, options), out);
                         }});
      map[tensor.name] = file;
      bytes += tensor.bytes;
      ++report.tensors;
    }
    write_safetensors((folder / file).string(), std::move(sources), {{"format", "pt"}});
  }
  report.bytes += bytes;
  const std::string variant = options.variant.empty() ? "" : "." + options.variant;
  if (shards.size() > 1)
    write_json((folder / (stem + ".safetensors.index" + variant + ".json")).string(), {{"metadata", {{"total_size", bytes}}}, {"weight_map", map}});
}

}  // namespace

ConvertReport write_model_folder(const PipelineFiles& model, const ChangedTensors& changed, const std::string& output, const ConvertOptions& options) {
  if (!model.missing_tokenizers.empty())
    throw BadFile(model.path, message("a folder needs ", first_five(model.missing_tokenizers),
                                      ", and the file holds none, as single files of others do not. Fix: add --tokenizer FOLDER (", how_to_give_tokenizers(model.family), ")"));
  const auto& layout = single_file_layout(model.family);
  if (model.single && layout.pipeline && !model.files.count("scheduler/scheduler_config.json")) (void)model.single->scheduler_config();  // says what to add
  std::vector<std::string> absent;
  for (const auto& part : layout.parts) {
    const std::string name = part.component;
    const bool held = std::ranges::any_of(model.components, [&](const auto& component) { return component.name == name; });
    if (!held && name != "text_encoder_3") absent.push_back(name);
  }
  if (!absent.empty()) throw BadFile(model.path, message("holds no ", first_five(absent), ", and a folder is a whole model. Fix: use a whole model"));
  require_complete(model);
  AtomicFolder folder(output, options.overwrite);
  const fs::path root = folder.temporary();
  ConvertReport report;
  if (model.single) report.left_out = model.single->unknown();
  for (const auto& [path, content] : model.files) {
    fs::create_directories((root / path).parent_path());
    write_file((root / path).string(), content);
  }
  for (const auto& component : model.components)
    write_component(model, component, layout.pipeline ? root / component.name : root, changed, options, report);
  folder.commit();
  return report;
}

}  // namespace sara
