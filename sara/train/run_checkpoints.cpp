// SPDX-License-Identifier: Apache-2.0
#include "sara/train/run_checkpoints.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/version.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string_view>

#include "sara/base/error.h"
#include "sara/base/hash.h"
#include "sara/base/log.h"
#include "sara/files/manifest.h"
#include "sara/sparse/values.h"
#include "sara/train/stop_signal.h"

namespace sara {
namespace {

namespace fs = std::filesystem;

// Options that change nothing that is trained. What model, tuned, data and the keys of captions name is compared by its
// content, the device and the version with the environment.
constexpr std::array<std::string_view, 30> kHarmless{
    "adapter_dtype", "allow_nonfinite", "cache", "caption_column", "caption_extension", "checkpoint_every", "checkpoints_limit", "class_data", "data",
    "device", "force", "image_column", "json", "max_skipped_steps", "memory", "memory_budget", "model", "output", "overwrite", "process_timeout", "resume",
    "sample_every", "sample_guidance", "sample_prompt", "sample_steps", "sara_version", "skip_bad_images", "tokenizer", "tuned", "verify_images"};

std::string text_hash(std::string_view text) {
  Hasher hasher;
  hasher.update(text);
  return hasher.hex();
}

std::string text_of(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

Json trained_options(const Json& config) {
  Json out = Json::object();
  for (const auto& [name, value] : config.items())
    if (std::find(kHarmless.begin(), kHarmless.end(), name) == kHarmless.end()) out[name] = value;
  return out;
}

Json environment_of(const Json& config, c10::Device device, int64_t processes) {
  const char* mkl = std::getenv("MKL_CBWR");
  Json out{{"threads", at::get_num_threads()}, {"cpu_capability", at::get_cpu_capability()}, {"mkl_cbwr", mkl ? Json(mkl) : Json()},
          {"device", c10::DeviceTypeName(device.type(), /*lower_case=*/true)}, {"torch", TORCH_VERSION}, {"sara", config.value("sara_version", Json())}};
  if (processes > 1) out["processes"] = processes;
  return out;
}

// "batch_size: 4, now 8", for every name of either.
void compare(const Json& then, const Json& now, std::vector<std::string>& differences) {
  const auto shown = [](const Json& value) { return value.is_null() ? "not set" : text_of(value); };
  for (const auto& [name, value] : now.items()) {
    const Json old = then.value(name, Json());
    if (text_of(old) != text_of(value)) differences.push_back(message(name, ": ", shown(old), ", now ", shown(value)));
  }
  for (const auto& [name, value] : then.items())
    if (!now.contains(name) && !value.is_null()) differences.push_back(message(name, ": ", shown(value), ", now not set"));
}

// The steps of the run whose results are all in the folder.
std::optional<int64_t> finished_steps(const std::string& run_folder) {
  const auto path = fs::path(run_folder) / "summary.json";
  if (!fs::exists(path)) return std::nullopt;
  const Json summary = read_json(path.string());
  if (!summary.is_object() || summary.contains("stopped") || !summary.contains("steps") || !summary["steps"].is_number_integer()) return std::nullopt;
  return summary["steps"].get<int64_t>();
}

}  // namespace

void check_checkpoint_options(const CheckpointOptions& options, bool overwrite) {
  if (options.resume && overwrite) throw InvalidArgument("resume: overwrite would remove what it goes on from. Fix: leave one of the two out");
  if (options.allow_change && !options.resume) throw InvalidArgument("allow_change: no effect without --resume. Fix: leave it out");
  if (options.strict && !options.resume) throw InvalidArgument("strict: no effect without --resume. Fix: leave it out");
}

std::string weights_hash(const NamedTensors& weights) {
  Hasher hasher;
  for (const auto& [name, tensor] : weights) hasher.update(message(name, "=", tensor_hash(tensor), "\n"));
  return hasher.hex();
}

std::string data_hash(const TrainingData& data) {
  Hasher hasher;
  hasher.update(message(data.latents.key, "|", data.text.key));
  for (const auto& rows : data.text.rows) {
    hasher.update("|");
    for (const int64_t row : rows) hasher.update(message(row, ","));
  }
  if (data.classes) hasher.update(message("|class ", data.classes->count));
  return hasher.hex();
}

RunCheckpoints::RunCheckpoints(const std::string& run_folder, const CheckpointOptions& options, const Json& config, c10::Device device, int64_t steps, int64_t processes)
    : run_folder_(run_folder), options_(options), files_(run_folder) {
  const Json trained = trained_options(config), environment = environment_of(config, device, processes);
  facts_ = {{"config_hash", text_hash(text_of(trained))}, {"environment", environment}, {"config", config}};
  StopSignal::set_last_words("sara: error: ended at once by a second signal; no checkpoint is saved. Fix: start anew");
  if (!options.resume) return;
  files_.remove_unfinished();
  resumed_ = files_.newest(options.strict);
  if (!resumed_) throw InvalidArgument(message("resume: no whole checkpoint is in ", escaped(run_folder), ". Fix: leave out --resume, and add --overwrite to start anew"));
  const int64_t step = resumed_->step;
  if (step > steps) throw InvalidArgument(message("steps: the run has taken more (expected more than ", step, ", got ", steps, "). Fix: raise --steps"));
  if (finished_steps(run_folder) == steps)
    throw InvalidArgument(message("resume: the run of ", steps, " steps is finished. Fix: leave out --resume, or go on with more --steps and --allow-change"));
  std::vector<std::string> differences;
  compare(trained_options(resumed_->manifest.value("config", Json::object())), trained, differences);
  compare(resumed_->manifest.value("environment", Json::object()), environment, differences);
  refuse_or_tell(differences);
  saved(step);
  log_info(message("resumed after step ", step, " from ", resumed_->path));
}

std::string RunCheckpoints::settings() const {
  return message(text_of(facts_["config_hash"]), text_of(facts_["environment"]), options_.checkpoint_every.value_or(0), "|", resumed_ ? resumed_->step : -1);
}

void RunCheckpoints::refuse_or_tell(const std::vector<std::string>& differences) const {
  if (differences.empty()) return;
  std::string lines;
  for (const auto& difference : differences) lines += "\n  " + difference;
  if (!options_.allow_change) {
    throw InvalidArgument(message("resume: the run was made otherwise. Fix: give what its config.toml says (sara train --config ", escaped(run_folder_),
                                  "/config.toml --resume), or add --allow-change", lines));
  }
  log_warning(message("resumed with changes; the result is not that of an uninterrupted run:", lines));
}

void RunCheckpoints::fact_is(const char* name, const std::string& value, const char* what) {
  facts_[name] = value;
  if (!resumed_) return;
  const Json then = resumed_->manifest.value(name, Json());
  if (then != Json(value)) refuse_or_tell({message(what, ": ", then.is_string() ? escaped(then.get<std::string>()) : "unknown", ", now ", value)});
}

RunState RunCheckpoints::restored() const {
  SARA_CHECK(resumed_ && facts_.contains("base_hash") && facts_.contains("data_hash"));
  return read_checkpoint(resumed_->path);
}

void RunCheckpoints::saved(int64_t step) {
  saved_ = step;
  StopSignal::set_last_words(message("sara: error: ended at once by a second signal. Fix: resume from ", escaped(files_.path(step))));
}

void RunCheckpoints::save(const RunState& state) {
  const int64_t step = state.trainer.step;
  if (saved_ == step) return;
  const std::string path = files_.path(step);
  const std::string kept = saved_ ? message("step-", *saved_, " is kept: resume from it") : "no earlier one was saved: start anew";
  try {
    files_.make_folder();
    if (fs::exists(path)) files_.set_aside(step);
    write_checkpoint(path, state, facts_);
    verified_manifest(path);
  } catch (const IoError& failed) {
    throw IoError(path, message("cannot save the checkpoint (", escaped(fs::path(failed.path()).filename().string()), "). Fix: free some disk space; ", kept), failed.code());
  } catch (const BadFile& changed) {
    throw IoError(path, message("the checkpoint does not read back as it was written (", changed.what(), "). Fix: check the disk; ", kept), EIO);
  }
  saved(step);
  if (options_.checkpoints_limit) files_.prune(*options_.checkpoints_limit, step);
}

}  // namespace sara
