// SPDX-License-Identifier: Apache-2.0
#include "sara/train/run_records.h"

#include <cmath>

#include "sara/base/error.h"
#include "sara/files/atomic_file.h"

namespace sara {
namespace {

// JSON has no NaN and no infinity: those are written as text.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(std::isnan(value) ? "nan" : message(value)); }

}  // namespace

NamedTensors denoiser_tensors(const ModelFolder& model, const Denoiser& denoiser) {
  NamedTensors tensors;
  for (auto& item : denoiser.named_parameters()) tensors.emplace_back(model.denoiser_name() + "." + item.key(), item.value());
  return tensors;
}

std::map<std::string, std::string> adapter_metadata(const FineTuneRequest& request, const ModelFolder& model, double lr, int64_t steps, int64_t processes) {
  std::map<std::string, std::string> out{{"base_model", model.name()},
          {"family", model.family()},
          {"precision", request.train.precision},
          {"lr", Json(lr).dump()},
          {"steps", std::to_string(steps)},
          {"prompt_prefix", request.images.caption_prefix},
          {"library_version", request.config.value("sara_version", "")},
          {"config", request.config.dump()}};
  if (processes > 1) out["processes"] = std::to_string(processes);
  return out;
}

void write_skipped(const std::string& path, const ImageFolderReport& report) {
  if (report.skipped.empty()) return;
  std::string lines;
  for (const auto& [image, reason] : report.skipped) lines += image + ": " + reason + "\n";
  write_file(path, lines);
}

Json non_finite_report(const TrainingStep& step, const std::vector<Sample>& samples, const ModelFolder& model, const Denoiser& denoiser) {
  Json files = Json::array(), largest = Json::object();
  for (const int64_t sample : step.samples) files.push_back(samples.at(static_cast<size_t>(sample)).path);
  for (const auto& [name, tensor] : denoiser_tensors(model, denoiser)) largest[name] = number(tensor.detach().abs().max().item<double>());
  return {{"step", step.step}, {"loss", number(step.loss)}, {"gradient_norm", number(step.report.grad_norm)}, {"files", files},
          {"timesteps", step.timesteps}, {"largest_weight", largest}};
}

}  // namespace sara
