// SPDX-License-Identifier: Apache-2.0
#include "sara/train/checkpoint.h"

#include <filesystem>

#include "sara/base/error.h"
#include "sara/files/atomic_folder.h"
#include "sara/files/manifest.h"

namespace sara {
namespace {

namespace fs = std::filesystem;
constexpr const char* kTensors = "state.safetensors";
constexpr const char* kNumbers = "state.json";
constexpr int kVersion = 1;

std::string file_in(const std::string& folder, const char* name) { return (fs::path(folder) / name).string(); }

torch::Tensor tensor_of(const std::vector<double>& numbers) { return torch::tensor(numbers, torch::kDouble); }

std::vector<double> numbers_of(const torch::Tensor& tensor) {
  if (tensor.scalar_type() != torch::kDouble || tensor.dim() != 1) throw std::invalid_argument("not a list of numbers");
  return {tensor.const_data_ptr<double>(), tensor.const_data_ptr<double>() + tensor.numel()};
}

Json trainer_json(const TrainerState& state) {
  Json out{{"step", state.step}, {"skipped", state.skipped}, {"exhausted", state.exhausted}};
  if (state.loss_scale) out["loss_scale"] = {{"scale", state.loss_scale->scale()}, {"good_steps", state.loss_scale->good_steps()}};
  return out;
}

TrainerState trainer_state(const Json& from) {
  TrainerState out{from.at("step").get<int64_t>(), from.at("skipped").get<int64_t>(), from.at("exhausted").get<bool>(), std::nullopt};
  if (from.contains("loss_scale")) out.loss_scale.emplace().restore(from["loss_scale"].at("scale").get<double>(), from["loss_scale"].at("good_steps").get<int64_t>());
  return out;
}

Json progress_json(const ProgressState& state) {
  Json out{{"smoothed", state.smoothed}, {"weight", state.weight}, {"skipped", state.skipped}, {"overflowed", state.overflowed}, {"elapsed", state.elapsed}};
  if (state.loss_scale) out["loss_scale"] = *state.loss_scale;
  return out;
}

ProgressState progress_state(const Json& from) {
  ProgressState out;
  out.smoothed = from.at("smoothed").get<double>();
  out.weight = from.at("weight").get<double>();
  out.skipped = from.at("skipped").get<int64_t>();
  out.overflowed = from.at("overflowed").get<int64_t>();
  out.elapsed = from.at("elapsed").get<double>();
  if (from.contains("loss_scale")) out.loss_scale = from["loss_scale"].get<double>();
  return out;
}

}  // namespace

void write_checkpoint(const std::string& path, const RunState& state, const Json& facts) {
  AtomicFolder folder(path);
  TensorMap tensors{{"progress.losses", tensor_of(state.progress.losses)}, {"progress.seconds", tensor_of(state.progress.seconds)}};
  for (const auto& [name, tensor] : state.method.tensors) tensors["method." + name] = tensor;
  save_tensors(file_in(folder.temporary(), kTensors), tensors);
  write_json(file_in(folder.temporary(), kNumbers),
             {{"version", kVersion}, {"trainer", trainer_json(state.trainer)}, {"progress", progress_json(state.progress)}, {"method", state.method.facts}});
  Json manifest{{"format", "sara-checkpoint"}, {"step", state.trainer.step}};
  manifest.update(facts);
  write_manifest(folder.temporary(), {kTensors, kNumbers}, std::move(manifest));
  folder.commit();
}

RunState read_checkpoint(const std::string& path) {
  const auto file = file_in(path, kNumbers);
  const Json numbers = read_json(file);
  if (!numbers.is_object() || numbers.value("version", Json()) != Json(kVersion))
    throw BadFile(file, message("is of another version (expected ", kVersion, "). Fix: go on with the version of sara that wrote it"));
  RunState out;
  try {
    TensorMap tensors = load_tensors(file_in(path, kTensors));
    out.trainer = trainer_state(numbers.at("trainer"));
    out.progress = progress_state(numbers.at("progress"));
    out.progress.losses = numbers_of(tensors.at("progress.losses"));
    out.progress.seconds = numbers_of(tensors.at("progress.seconds"));
    out.method.facts = numbers.at("method");
    for (auto& [name, tensor] : tensors)
      if (name.starts_with("method.")) out.method.tensors.emplace(name.substr(7), std::move(tensor));
  } catch (const Error&) {
    throw;
  } catch (const std::exception& unreadable) {
    throw BadFile(file, message("cannot be understood (", escaped(unreadable.what()), "). Fix: resume from another checkpoint"));
  }
  const auto steps = static_cast<size_t>(out.trainer.step);
  if (out.progress.losses.size() != steps || out.progress.seconds.size() != steps)
    throw BadFile(file, message("holds ", out.progress.losses.size(), " losses of ", steps, " steps"));
  return out;
}

}  // namespace sara
