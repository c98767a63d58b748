// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <ctime>
#include <filesystem>
#include <set>

#include "sara/base/error.h"
#include "sara/weights/convert.h"
#include "sara/weights/convert_tensor.h"
#include "sara/weights/key_maps.h"
#include "sara/weights/precision.h"
#include "sara/weights/single_file_config.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

// One model tensor on its way into a file's tensor.
struct Placed {
  std::string component;
  WeightFiles::Entry entry;
  FilePlace place;
};

std::vector<int64_t> shape_in_file(const Placed& placed) {
  auto shape = placed.entry.info->shape;
  if (placed.place.change == Change::transposed) std::ranges::reverse(shape);
  if (placed.place.change == Change::pointwise && shape.size() == 2) shape.insert(shape.end(), {1, 1});
  if (placed.place.parts > 1 && !shape.empty()) shape[0] *= placed.place.parts;
  return shape;
}

torch::Tensor as_in_file(const torch::Tensor& tensor, Change change) {
  if (change == Change::transposed) return tensor.t().contiguous();
  if (change == Change::swapped_halves) {
    const auto halves = tensor.chunk(2, 0);
    return torch::cat({halves[1], halves[0]}, 0);
  }
  return tensor;
}

// File name -> the model tensors it is made of, in the order of their parts.
std::map<std::string, std::vector<Placed>> placed_tensors(const PipelineFiles& model, const SingleFileLayout& layout, ConvertReport& report) {
  std::map<std::string, std::vector<Placed>> out;
  std::vector<std::string> homeless;
  for (const auto& component : model.components) {
    const auto* part = layout.part(component.name);
    if (!part) {
      report.left_out.push_back(component.name);
      continue;
    }
    const KeyMap map = key_map(part->keys, component.config);
    for (const auto& entry : component.weights.entries()) {
      const auto places = map.in_file(component.canonical(entry.info->name));
      if (places.empty() && !is_ignored(entry.info->name)) homeless.push_back(component.name + "." + entry.info->name);
      for (const auto& place : places) out[part->prefix + place.name].push_back({component.name, entry, place});
    }
  }
  if (!homeless.empty())
    throw BadFile(model.path, message(homeless.size(), " tensors have no name in a single file of family ", layout.family, ": ", first_five(homeless),
                                      ". Fix: use the config.json these weights were saved with"));
  return out;
}

void require_whole(const std::string& name, std::vector<Placed>& parts, const std::string& path) {
  std::ranges::sort(parts, {}, [](const Placed& placed) { return placed.place.part; });
  const bool whole = parts.size() == static_cast<size_t>(parts.front().place.parts) &&
                     std::ranges::all_of(parts, [&](const Placed& placed) {
                       return placed.entry.info->shape == parts.front().entry.info->shape && placed.entry.info->dtype == parts.front().entry.info->dtype &&
                              placed.place.parts == parts.front().place.parts;
                     });
  if (whole) return;
  std::vector<std::string> names;
  for (const auto& placed : parts)
    names.push_back(message(placed.entry.info->name, " ", sara::name(placed.entry.info->dtype), " ", at::IntArrayRef(placed.entry.info->shape)));
  throw BadFile(path, message("the tensors of ", name, " do not make one (expected ", parts.front().place.parts, " of one type and shape, got ", first_five(names),
                              "). Fix: use a whole model"));
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  char text[16];
  std::strftime(text, sizeof text, "%Y-%m-%d", std::gmtime(&now));
  return text;
}

// model_index.json without the components that are left out.
std::string index_without(const std::string& text, const std::vector<std::string>& left_out, const std::string& path) {
  Json index = parse_json(text, path + "/model_index.json");
  bool changed = false;
  for (const auto& name : left_out) {
    if (!index.contains(name)) continue;
    index[name] = {nullptr, nullptr};
    changed = true;
  }
  return changed ? index.dump(2) + "\n" : text;
}

std::map<std::string, std::string> metadata_of(const PipelineFiles& model, const SingleFileLayout& layout, const std::string& output, ConvertReport& report) {
  std::map<std::string, std::string> kept;
  for (const auto& [path, content] : model.files) {
    const auto slash = path.find('/');
    const std::string folder = slash == std::string::npos ? "" : path.substr(0, slash);
    if (std::ranges::find(report.left_out, folder) != report.left_out.end()) continue;
    if (slash != std::string::npos && path.find('/', slash + 1) != std::string::npos) continue;
    if (slash == std::string::npos && path != "model_index.json" && path != "config.json") continue;
    kept[path] = path == "model_index.json" ? index_without(content, report.left_out, model.path) : content;
  }
  std::string prediction = "epsilon", architecture = layout.architecture;
  if (const auto scheduler = kept.find("scheduler/scheduler_config.json"); scheduler != kept.end()) {
    const Json config = parse_json(scheduler->second, scheduler->first);
    if (config.is_object() && config.value("prediction_type", Json("epsilon")) == "v_prediction") prediction = "v_prediction";
  }
  if (architecture == "stable-diffusion-v2-512" && prediction == "v_prediction") architecture = "stable-diffusion-v2-768-v";
  std::map<std::string, std::string> metadata{{"format", "pt"},
                                              {kKeptFiles, packed_files(kept)},
                                              {"modelspec.sai_model_spec", "1.0.1"},
                                              {"modelspec.architecture", architecture},
                                              {"modelspec.implementation", "https://github.com/Stability-AI/generative-models"},
                                              {"modelspec.title", fs::path(output).stem().string()},
                                              {"modelspec.date", today()}};
  if (std::string(layout.family) != "sd3" && layout.pipeline) metadata["modelspec.prediction_type"] = prediction;
  std::string flattened;
  for (const auto& component : model.components)
    if (component.flattened()) flattened += (flattened.empty() ? "" : ",") + component.name;
  if (!flattened.empty()) metadata[kFlattened] = flattened;
  return metadata;
}

// From one single file to another: every tensor, name and metadata entry is carried through; only changed numbers and types differ.
std::vector<TensorSource> rewritten_tensors(const PipelineFiles& model, const ChangedTensors& changed, const ConvertOptions& options) {
  const SingleFile& single = *model.single;
  struct Patch {
    std::string component;
    WeightFiles::Piece piece;
  };
  std::map<std::string, std::vector<Patch>> patches;  // by the file's name
  for (const auto& component : model.components) {
    const auto part = changed.find(component.name);
    if (part == changed.end()) continue;
    for (const auto& piece : single.pieces(component.name))
      if (part->second.count(piece.name)) patches[piece.stored->name].push_back({component.name, piece});
  }
  std::vector<TensorSource> sources;
  for (const auto& info : single.file().tensors()) {
    const DType dtype = written_dtype(info, options);
    const auto found = patches.find(info.name);
    const std::vector<Patch> own = found == patches.end() ? std::vector<Patch>{} : found->second;
    sources.push_back({info.name, dtype, info.shape, nullptr, [&single, &changed, &options, &info, own](void* out) {
                         torch::Tensor tensor = read_tensor(WeightFiles::Entry{&single.file(), &info});
                         for (const auto& [component, piece] : own) {
                           const torch::Tensor fresh = as_in_file(changed.at(component).at(piece.name).detach().cpu(), piece.change).to(tensor.scalar_type());
                           tensor.view(-1).narrow(0, fresh.numel() * piece.part, fresh.numel()).copy_(fresh.contiguous().view(-1));
                         }
                         copy_bytes(written_tensor("", {&single.file(), &info}, {{"", {{info.name, tensor}}}}, options), out);
                       }});
  }
  return sources;
}

}  // namespace

ConvertReport write_single_file(const PipelineFiles& model, const ChangedTensors& changed, const std::string& output, const ConvertOptions& options) {
  if (!model.single) require_complete(model);  // from file to file everything is carried through
  const auto& layout = single_file_layout(model.family);
  if (!layout.pipeline && model.files.count("model_index.json"))
    throw InvalidArgument(message("output: a whole model of family ", model.family, " has no single-file form. Fix: choose a folder, or convert its ", layout.parts.front().component, " by itself"));
  ConvertReport report;
  std::vector<TensorSource> sources;
  std::map<std::string, std::string> metadata;
  std::map<std::string, std::vector<Placed>> placed;  // outlives the sources
  if (model.single) {
    std::error_code failure;
    if (fs::equivalent(model.path, output, failure)) throw InvalidArgument(message("output: ", escaped(output), " is the model itself. Fix: choose another --output"));
    sources = rewritten_tensors(model, changed, options);
    metadata = model.single->file().metadata();
    metadata.try_emplace("format", "pt");
  } else {
    placed = placed_tensors(model, layout, report);
    for (auto& [name, parts] : placed) {
      require_whole(name, parts, model.path);
      const auto& all = parts;
      sources.push_back({name, written_dtype(*parts.front().entry.info, options), shape_in_file(parts.front()), nullptr, [&all, &changed, &options](void* out) {
                           auto* bytes = static_cast<char*>(out);
                           for (const auto& one : all) {
                             const torch::Tensor tensor = as_in_file(written_tensor(one.component, one.entry, changed, options), one.place.change);
                             copy_bytes(tensor, bytes);
                             bytes += tensor.nbytes();
                           }
                         }});
    }
    metadata = metadata_of(model, layout, output, report);
  }
  report.tensors = static_cast<int64_t>(sources.size());
  for (const auto& source : sources) report.bytes += *tensor_bytes(source.dtype, source.shape);
  write_safetensors(output, std::move(sources), metadata);
  return report;
}

}  // namespace sara
