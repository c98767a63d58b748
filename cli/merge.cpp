// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>

#include "cli/adapter_choice.h"
#include "cli/adapter_output.h"
#include "cli/model_choice.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "sara/base/error.h"
#include "sara/base/log.h"
#include "sara/weights/delta_sum.h"
#include "sara/weights/lycoris_file.h"
#include "sara/weights/merged_folder.h"
#include "sara/weights/precision.h"
#include "sara/weights/shira_folder.h"

namespace sara::cli {
namespace {

namespace fs = std::filesystem;

struct MergeOptions {
  std::string output, as = "model";
  std::optional<std::string> adapter_dtype;
  bool overwrite = false, json = false;

  template <class V>
  void visit(V&& v) {
    v("output", output, "Folder for the merged model or PEFT adapter; a .safetensors file for a merged single file, or with --as adapter or lycoris");
    v("as", as, "What is written: a whole model, one adapter that holds the weighted sum, LyCORIS full differences, or PEFT's SHiRA (linear layers alone)",
      one_of({"model", "adapter", "lycoris", "peft"}));
    v("adapter_dtype", adapter_dtype, "Type of the differences with --as adapter, lycoris or peft (default fp32)", one_of({"fp32", "bf16", "fp16"}));
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
  const ModelFolder model = open_model(verb.model);
  if (fs::path(verb.options.output).extension() == ".safetensors") require_adapter_output(verb.options.output, verb.options.overwrite);
  const auto report = write_merged_model(model, adapters, verb.options.output, verb.options.overwrite, verb.adapters.force);
  for (const auto& name : report.left_out) log_warning(name + ": not merged and left out (another copy of changed weights, or a part without a place in this layout)");
  return {{"output", verb.options.output}, {"changed_weights", report.changed_weights}, {"changed_tensors", report.changed_tensors}};
}

c10::ScalarType difference_dtype(const MergeVerb& verb) { return dtype_from_precision(verb.options.adapter_dtype.value_or("fp32")); }

bool holds_weights(const ScaledAdapter& item) {
  const auto& tensors = item.adapter.tensors;
  return std::any_of(tensors.begin(), tensors.end(), [](const auto& entry) { return entry.second.is_value; });
}

Json merged_adapter(const MergeVerb& verb, const std::vector<ScaledAdapter>& adapters) {
  const auto& output = verb.options.output;
  const bool on_base = verb.model.model.has_value();
  if (on_base && std::none_of(adapters.begin(), adapters.end(), holds_weights))
    throw InvalidArgument("--model: has no effect with --as adapter and adapters that hold differences. Fix: leave it out");
  require_adapter_output(output, verb.options.overwrite);
  auto sum = on_base ? delta_sum(ModelFolder(model_path(verb.model), model_reading(verb.model)), adapters, verb.adapters.force) : adapter_sum(adapters, verb.adapters.force);
  for (auto& [key, tensor] : sum.tensors) tensor.data = in_dtype(tensor.data, difference_dtype(verb), key);
  save_adapter(output, sum);
  return {{"output", output}, {"weights", sum.count()}, {"tensors", sum.tensors.size()}};
}

Json lycoris_file(const MergeVerb& verb, const std::vector<ScaledAdapter>& adapters) {
  const auto& output = verb.options.output;
  require_adapter_output(output, verb.options.overwrite);
  const ModelFolder model = open_model(verb.model);
  const auto tensors = lycoris_tensors(model, adapters, difference_dtype(verb), verb.adapters.force);
  save_tensors(output, tensors, lycoris_metadata(model));
  return {{"output", output}, {"tensors", tensors.size()}, {"bytes", fs::file_size(output)}};
}

Json shira_folder(const MergeVerb& verb, const std::vector<ScaledAdapter>& adapters) {
  const ModelFolder model = open_model(verb.model);
  const auto report = write_shira_folder(model, adapters, verb.options.output, verb.options.overwrite, difference_dtype(verb), verb.adapters.force);
  return {{"output", verb.options.output}, {"layers", report.layers}, {"r", report.rank}, {"values", report.values}};
}

void run_merge(const MergeVerb& verb) {
  const auto& model = verb.model;
  if (verb.options.as == "adapter" && (model.tokenizer || model.prediction_type))
    throw InvalidArgument("--tokenizer, --prediction-type: have no effect with --as adapter. Fix: leave them out");
  if (verb.adapters.adapter.empty()) throw InvalidArgument("--adapter: missing. Fix: add --adapter FILE[:SCALE]");
  if (verb.options.output.empty()) throw InvalidArgument("--output: missing. Fix: add --output FOLDER");
  const auto& as = verb.options.as;
  if (as == "peft" && fs::path(verb.options.output).extension() == ".safetensors") {
    throw InvalidArgument("--output: with --as peft it is a folder. Fix: give a folder, or add --as adapter to write one adapter file");
  }
  if (as == "model" && verb.options.adapter_dtype) {
    throw InvalidArgument("--adapter-dtype: has no effect with --as model, whose tensors keep their types. Fix: leave it out");
  }
  const auto adapters = load_adapters(verb.adapters);
  const Json result = as == "model"     ? merged_model(verb, adapters)
                      : as == "adapter" ? merged_adapter(verb, adapters)
                      : as == "lycoris" ? lycoris_file(verb, adapters)
                                        : shira_folder(verb, adapters);
  if (verb.options.json) return print(result.dump() + "\n");
  for (const auto& [key, value] : result.items()) print(key + ": " + (value.is_string() ? value.get<std::string>() : value.dump()) + "\n");
}

}  // namespace

Command merge_command() {
  auto verb = std::make_shared<MergeVerb>();
  Command command("merge", "Write a model with adapters merged in, one adapter from several, or the adapter in a format of others");
  command.example("sara merge --adapter run/adapter.safetensors --output merged")
      .example("sara merge --adapter run/adapter.safetensors --as lycoris --output style.safetensors")
      .example("sara merge --adapter a.safetensors:0.6 --adapter b.safetensors:0.6 --as adapter --output both.safetensors")
      .add(verb->model)
      .add(verb->adapters)
      .add(verb->options)
      .on_run([verb](const Command&) { run_merge(*verb); });
  return command;
}

}  // namespace sara::cli
