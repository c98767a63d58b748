// SPDX-License-Identifier: Apache-2.0
#include <filesystem>

#include "cli/adapter_choice.h"
#include "cli/model_choice.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/weights/merged_folder.h"

namespace sara::cli {
namespace {

namespace fs = std::filesystem;

struct MergeOptions {
  std::string output, as = "model";
  bool overwrite = false, json = false;

  template <class V>
  void visit(V&& v) {
    v("output", output, "Folder for the merged model, or a .safetensors file with --as adapter");
    v("as", as, "What is written: a whole model folder, or one adapter that holds the weighted sum", one_of({"model", "adapter"}));
    v("overwrite", overwrite, "Replace what the output holds");
    v("json", json, "Print one JSON object");
  }
};

struct MergeVerb {
  ModelOptions model;
  AdapterOptions adapters;
  MergeOptions options;
};

Json merged_model(const MergeVerb& verb, const std::vector<ScaledAdapter>& adapters) {
  const ModelFolder model(model_path(verb.model));
  const auto report = write_merged_folder(model, adapters, verb.options.output, verb.options.overwrite, verb.adapters.force);
  for (const auto& name : report.left_out) log_warning(name + ": another copy of weights that changed; it was not merged and is left out");
  return {{"output", verb.options.output}, {"changed_weights", report.changed_weights}, {"changed_tensors", report.changed_tensors}};
}

Json merged_adapter(const MergeVerb& verb, const std::vector<ScaledAdapter>& adapters) {
  const auto& output = verb.options.output;
  if (verb.model.model) throw InvalidArgument("--model: has no effect with --as adapter. Fix: leave it out");
  if (fs::path(output).extension() != ".safetensors") {
    throw InvalidArgument(message("--output: an adapter's name ends in .safetensors (got ", escaped(output), ")"));
  }
  if (fs::exists(output) && !verb.options.overwrite) throw IoError(output, "the output exists. Fix: add --overwrite, or choose another --output", EEXIST);
  const auto sum = adapter_sum(adapters, verb.adapters.force);
  save_adapter(output, sum);
  return {{"output", output}, {"weights", sum.count()}, {"tensors", sum.tensors.size()}};
}

void run_merge(const MergeVerb& verb) {
  if (verb.adapters.adapter.empty()) throw InvalidArgument("--adapter: missing. Fix: add --adapter FILE[:SCALE]");
  if (verb.options.output.empty()) throw InvalidArgument("--output: missing. Fix: add --output FOLDER");
  const bool as_model = verb.options.as == "model";
  if (as_model && fs::path(verb.options.output).extension() == ".safetensors") {
    throw InvalidArgument("--output: a merged model is a folder. Fix: give a folder, or add --as adapter to write one adapter file");
  }
  const auto adapters = load_adapters(verb.adapters);
  const Json result = as_model ? merged_model(verb, adapters) : merged_adapter(verb, adapters);
  if (verb.options.json) return print(result.dump() + "\n");
  for (const auto& [key, value] : result.items()) print(key + ": " + (value.is_string() ? value.get<std::string>() : value.dump()) + "\n");
}

}  // namespace

Command merge_command() {
  auto verb = std::make_shared<MergeVerb>();
  Command command("merge", "Write a model with adapters merged in, or one adapter from several");
  command.example("sara merge --adapter run/adapter.safetensors --output merged")
      .example("sara merge --adapter a.safetensors:0.6 --adapter b.safetensors:0.6 --as adapter --output both.safetensors")
      .add(verb->model)
      .add(verb->adapters)
      .add(verb->options)
      .on_run([verb](const Command&) { run_merge(*verb); });
  return command;
}

}  // namespace sara::cli
